// Package catalogue has what a database says of the watched tables at one
// moment ([Catalogue]): their columns and types, replica identities, partitions,
// rights, the publication and the slot. It says what stands in the way of
// following them, each with its mend ([RefusalError]), makes and mends what can
// be ([Setup], [Scope.Provide], [Mender]), and looks whether something of it has
// changed ([Look], [Glance]).
//
// It knows connections (primary) and fills in the schema that the stream is
// decoded by (pgoutput). Which log has been read, who leads, and what follows
// from a change is for internal/cdc.
package catalogue
