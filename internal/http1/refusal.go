package http1

// Refusal is why a request isn't served: the status of the answer and a
// reason that is fit for a log and a metric.
type Refusal struct {
	Status int
	Reason string
}

// Error makes a Refusal an error.
func (r *Refusal) Error() string { return r.Reason }

var (
	errBareLF        = &Refusal{400, "bare LF"}
	errRequestLine   = &Refusal{400, "request line"}
	errMethod        = &Refusal{400, "method"}
	errTarget        = &Refusal{400, "target"}
	errVersion       = &Refusal{505, "version"}
	errFieldName     = &Refusal{400, "field name"}
	errFieldValue    = &Refusal{400, "field value"}
	errFold          = &Refusal{400, "folded field"}
	errHost          = &Refusal{400, "host"}
	errLength        = &Refusal{400, "content-length"}
	errBothLengths   = &Refusal{400, "content-length and transfer-encoding"}
	errCoding        = &Refusal{400, "transfer-encoding"}
	errCodingUnknown = &Refusal{501, "transfer-encoding"}
	errExpectation   = &Refusal{417, "expectation"}
	errTooLarge      = &Refusal{431, "header too large"}
	errTargetLong    = &Refusal{414, "target too long"}
	errSlow          = &Refusal{408, "timeout"}
)
