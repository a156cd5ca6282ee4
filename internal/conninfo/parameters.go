package conninfo

import (
	"slices"
	"strconv"
	"strings"
)

// use is what becomes of a parameter.
type use int

const (
	driver  use = iota // handed to the driver
	here               // done by this package
	runtime            // sent to the server at the start of the session
	nothing            // without effect here, and without harm
)

// parameter is one that libpq knows, of any version from 14 to 19, or that is sent to the server as it is.
type parameter struct {
	use   use
	env   string                     // the environment variable that stands for it
	check func(value string) *string // nil: any value. It returns what is wrong, nil for nothing
}

// aliases are names that mean another.
var aliases = map[string]string{"database": "dbname", "TimeZone": "timezone", "DateStyle": "datestyle", "IntervalStyle": "intervalstyle"}

var parameters = map[string]parameter{
	"host":                 {driver, "PGHOST", nil},     // with hostaddr and port, see servers.go
	"hostaddr":             {here, "PGHOSTADDR", nil},   //
	"port":                 {driver, "PGPORT", nil},     //
	"dbname":               {driver, "PGDATABASE", nil}, //
	"user":                 {driver, "PGUSER", nil},
	"password":             {driver, "PGPASSWORD", nil},
	"passfile":             {driver, "PGPASSFILE", nil},
	"service":              {here, "PGSERVICE", nil},
	"servicefile":          {here, "PGSERVICEFILE", nil},
	"connect_timeout":      {driver, "PGCONNECT_TIMEOUT", integer("connect_timeout")},
	"load_balance_hosts":   {here, "PGLOADBALANCEHOSTS", oneOf("load_balance_hosts", "disable", "random")},
	"target_session_attrs": {driver, "PGTARGETSESSIONATTRS", oneOf("target_session_attrs", "any", "read-write", "read-only", "primary", "standby", "prefer-standby")},

	"sslmode":                  {driver, "PGSSLMODE", sslmode},
	"sslnegotiation":           {driver, "PGSSLNEGOTIATION", oneOf("sslnegotiation", "postgres", "direct")},
	"sslcert":                  {driver, "PGSSLCERT", nil},
	"sslkey":                   {driver, "PGSSLKEY", engine},
	"sslpassword":              {driver, "", nil},
	"sslcertmode":              {driver, "PGSSLCERTMODE", oneOf("sslcertmode", "disable", "allow", "require")},
	"sslrootcert":              {driver, "PGSSLROOTCERT", nil},
	"sslsni":                   {driver, "PGSSLSNI", oneOf("sslsni", "0", "1")},
	"ssl_min_protocol_version": {here, "PGSSLMINPROTOCOLVERSION", tlsVersion("ssl_min_protocol_version")},
	"ssl_max_protocol_version": {here, "PGSSLMAXPROTOCOLVERSION", tlsVersion("ssl_max_protocol_version")},
	"sslcompression":           {nothing, "PGSSLCOMPRESSION", nil}, // without effect in libpq itself since it is never offered
	"sslcrl":                   {here, "PGSSLCRL", unsupported("sslcrl, which is not supported: revocation lists are not read here; take it out, and let the server have a new certificate of another authority where one is revoked")},
	"sslcrldir":                {here, "PGSSLCRLDIR", unsupported("sslcrldir, which is not supported: revocation lists are not read here; take it out, and let the server have a new certificate of another authority where one is revoked")},
	"sslkeylogfile":            {here, "", unsupported("sslkeylogfile, which is not supported: it would write down what decrypts the connection; take it out")},
	"requiressl":               {here, "PGREQUIRESSL", unsupported("requiressl, which PostgreSQL gave up; write sslmode=require")},

	"channel_binding":      {driver, "PGCHANNELBINDING", oneOf("channel_binding", "disable", "prefer", "require")},
	"require_auth":         {driver, "PGREQUIREAUTH", methods},
	"requirepeer":          {here, "PGREQUIREPEER", unsupported("requirepeer, which is not supported: who runs the server at a socket is not looked at here; take it out, and guard the socket's directory instead")},
	"scram_client_key":     {here, "", unsupported("scram_client_key, which is not supported; give the password")},
	"scram_server_key":     {here, "", unsupported("scram_server_key, which is not supported; give the password")},
	"oauth_issuer":         {here, "", oauth("oauth_issuer")},
	"oauth_client_id":      {here, "", oauth("oauth_client_id")},
	"oauth_client_secret":  {here, "", oauth("oauth_client_secret")},
	"oauth_scope":          {here, "", oauth("oauth_scope")},
	"oauth_ca_file":        {here, "PGOAUTHCAFILE", oauth("oauth_ca_file")},
	"gssencmode":           {here, "PGGSSENCMODE", gssencmode},
	"krbsrvname":           {nothing, "PGKRBSRVNAME", nil}, // a server that asks for Kerberos is refused when it asks
	"gsslib":               {nothing, "PGGSSLIB", nil},
	"gssdelegation":        {nothing, "PGGSSDELEGATION", nil},
	"min_protocol_version": {driver, "PGMINPROTOCOLVERSION", oneOf("min_protocol_version", "3.0", "3.2", "latest")},
	"max_protocol_version": {driver, "PGMAXPROTOCOLVERSION", oneOf("max_protocol_version", "3.0", "3.2", "latest")},

	"keepalives":          {here, "", integer("keepalives")},
	"keepalives_idle":     {here, "", integer("keepalives_idle")},
	"keepalives_interval": {here, "", integer("keepalives_interval")},
	"keepalives_count":    {here, "", integer("keepalives_count")},
	"tcp_user_timeout":    {here, "", integer("tcp_user_timeout")},

	"application_name":          {runtime, "PGAPPNAME", nil},
	"fallback_application_name": {here, "", nil},
	"client_encoding":           {nothing, "PGCLIENTENCODING", nil}, // always UTF8, which is all that the driver reads
	"replication":               {nothing, "", nil},                 // each connection has what it needs
	"options":                   {runtime, "PGOPTIONS", nil},
	"authtype":                  {nothing, "", nil}, // libpq 14 and older took and ignored these two
	"tty":                       {nothing, "", nil},

	// What libpq doesn't know and the Go driver sends to the server, as it stands in URLs that a service in Go shares.
	"timezone":                            {runtime, "PGTZ", nil},
	"datestyle":                           {runtime, "PGDATESTYLE", nil},
	"geqo":                                {runtime, "PGGEQO", nil},
	"intervalstyle":                       {runtime, "", nil},
	"search_path":                         {runtime, "", nil},
	"role":                                {runtime, "", nil},
	"statement_timeout":                   {runtime, "", nil},
	"lock_timeout":                        {runtime, "", nil},
	"idle_in_transaction_session_timeout": {runtime, "", nil},
	"default_transaction_isolation":       {runtime, "", nil},
	"default_transaction_read_only":       {runtime, "", nil},
	"synchronous_commit":                  {runtime, "", nil},
	"work_mem":                            {runtime, "", nil},
	"jit":                                 {runtime, "", nil},
	"plan_cache_mode":                     {runtime, "", nil},
	"extra_float_digits":                  {runtime, "", nil},
}

func init() {
	for _, name := range pool { // the Go driver's own: read where there is a pool
		parameters[name] = parameter{use: nothing}
	}
}

// pool are the Go driver's parameters, not of a connection but of what holds it.
var pool = []string{
	"pool_max_conns", "pool_min_conns", "pool_min_idle_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time",
	"pool_health_check_period", "pool_max_conn_lifetime_jitter", "pool_ping_timeout",
	"default_query_exec_mode", "statement_cache_capacity", "description_cache_capacity",
}

const (
	ofPrisma     = "which is of Prisma, not of PostgreSQL; take it out"
	ofSQLAlchemy = "which is of asyncpg, not of PostgreSQL; take it out"
	ofJDBC       = "which is of JDBC, not of PostgreSQL; take it out"
)

// foreigners are parameters of other drivers that people share a URL with.
var foreigners = map[string]string{
	"ssl":    "which is of other drivers, not of PostgreSQL; write sslmode=require, or sslmode=verify-full with sslrootcert",
	"schema": ofPrisma, "connection_limit": ofPrisma, "pool_timeout": ofPrisma, "pgbouncer": ofPrisma + ", and mind that a pooler carries no replication",
	"sslaccept": ofPrisma, "sslidentity": ofPrisma, "socket_timeout": ofPrisma, "single_use_connections": ofPrisma,
	"prepared_statement_cache_size": ofSQLAlchemy, "command_timeout": ofSQLAlchemy, "server_settings": ofSQLAlchemy,
	"currentSchema": ofJDBC, "prepareThreshold": ofJDBC, "ApplicationName": "which is of JDBC; write application_name", "loginTimeout": "which is of JDBC; write connect_timeout",
	"sslfactory": ofJDBC, "socketTimeout": ofJDBC, "tcpKeepAlive": ofJDBC, "targetServerType": "which is of JDBC; write target_session_attrs", "stringtype": ofJDBC,
	"uselibpqcompat": "which is of node-postgres, not of PostgreSQL; take it out", "supa": "which is not of PostgreSQL; take it out",
}

func ordinal(n int) string { return strconv.Itoa(n) }

// sentence makes what a check returns.
func sentence(s string) *string { return &s }

func oneOf(name string, words ...string) func(string) *string {
	return func(value string) *string {
		if slices.Contains(words, value) {
			return nil
		}
		return sentence("has a value of " + name + " that is none; write " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1])
	}
}

func sslmode(value string) *string {
	switch value {
	case "disable", "allow", "prefer", "require", "verify-ca", "verify-full":
		return nil
	case "no-verify":
		return sentence("has sslmode=no-verify, which is of node-postgres and not of PostgreSQL; write sslmode=require, which encrypts and verifies nothing unless sslrootcert is given")
	}
	return sentence("has an sslmode that is none; write disable, allow, prefer, require, verify-ca or verify-full")
}

func integer(name string) func(string) *string {
	return func(value string) *string {
		if _, err := strconv.ParseInt(strings.Trim(value, blanks), 10, 32); value != "" && err != nil {
			return sentence("has a value of " + name + " that is not a whole number; correct it")
		}
		return nil
	}
}

// number is the value of an integer parameter that has been checked, 0 if it isn't given.
func (i *Info) number(name string) int {
	n, _ := strconv.Atoi(strings.Trim(i.get(name), blanks))
	return n
}

var tlsVersions = map[string]uint16{"tlsv1": 0x0301, "tlsv1.1": 0x0302, "tlsv1.2": 0x0303, "tlsv1.3": 0x0304}

func tlsVersion(name string) func(string) *string {
	return func(value string) *string {
		if _, ok := tlsVersions[strings.ToLower(value)]; value != "" && !ok {
			return sentence("has a value of " + name + " that is none; write TLSv1, TLSv1.1, TLSv1.2 or TLSv1.3")
		}
		return nil
	}
}

func gssencmode(value string) *string {
	switch value {
	case "disable", "prefer": // prefer is content without
		return nil
	case "require":
		return sentence("has gssencmode=require, which is not supported: connections are not encrypted by GSSAPI here; write gssencmode=disable, and sslmode=require for TLS")
	}
	return sentence("has a gssencmode that is none; write disable or prefer")
}

func engine(value string) *string {
	if strings.HasPrefix(value, "pkcs11:") || strings.HasPrefix(value, "engine:") {
		return sentence("has an sslkey in an OpenSSL engine, which is not supported; name a PEM file")
	}
	return nil
}

func unsupported(what string) func(string) *string {
	return func(value string) *string {
		if value == "" {
			return nil
		}
		return sentence("has " + what)
	}
}

func oauth(name string) func(string) *string {
	return unsupported(name + ", which is not supported: there is no login by OAuth here; let the role in by a password or a certificate")
}

var authMethods = []string{"password", "md5", "gss", "sspi", "scram-sha-256", "oauth", "none"}

// methods reads the list of require_auth: names, or names with ! before each.
func methods(value string) *string {
	if value == "" {
		return nil
	}
	bad := sentence("has a value of require_auth that is none; write a list of " + strings.Join(authMethods, ", ") + ", each once, with ! before each of them or before none")
	var seen []string
	negated := strings.HasPrefix(value, "!")
	for method := range strings.SplitSeq(value, ",") {
		name, not := strings.CutPrefix(method, "!")
		if not != negated || !slices.Contains(authMethods, name) || slices.Contains(seen, name) {
			return bad
		}
		seen = append(seen, name)
	}
	return nil
}
