package aws

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"

	"startup-bundle/agent/transport"
)

// maxErrorBody is how much is read of an answer that is an error.
const maxErrorBody = 64 << 10

// Error is an answer of AWS that is not success. It holds nothing of what was
// asked for.
type Error struct {
	Service  string
	Action   string // as a policy names it: s3:GetObject
	Resource string // ARN, or what is known of it
	Status   int    // of HTTP
	Code     string // the service's own, or empty
	Message  string // the service's own, shortened
	Hint     string // what to do next

	region string // where S3 says that the bucket is
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Service == "" {
		b.WriteString("the server")
	}
	fmt.Fprintf(&b, "%s says %d %s", e.Service, e.Status, http.StatusText(e.Status))
	if e.Code != "" {
		b.WriteString(", " + e.Code)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, " (%s)", e.Message)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// hopeless reports whether the same call can never do better.
func (e *Error) hopeless() bool {
	switch e.Code {
	case "ValidationException", "ValidationError", "SerializationException", "InvalidParameterException", "InvalidCiphertextException",
		"IncorrectKeyException", "InvalidKeyUsageException":
		return true
	}
	return false
}

// Busy reports whether a later try may do better: the service throttles, or is out
// of order.
func (e *Error) Busy() bool {
	switch e.Code {
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestThrottled", "SlowDown",
		"RequestLimitExceeded", "LimitExceededException", "InternalServerError", "InternalServiceError",
		"InternalServiceErrorException", "KMSInternalException", "DependencyTimeoutException",
		"KeyUnavailableException", "RequestTimeout":
		return true
	}
	return transport.Busy(e.Status)
}

// Denied reports whether the caller may not, or is not who it says.
func (e *Error) Denied() bool {
	switch e.Code {
	case "RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException", "ExpiredToken", "ExpiredTokenException",
		"InvalidToken", "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch":
		return true
	}
	return e.Status == http.StatusForbidden || e.Status == http.StatusUnauthorized || strings.HasPrefix(e.Code, "AccessDenied")
}

// ReadError reads the error in resp, of any AWS service or of none, and leaves the
// body to be read again. Where the body is no error of theirs, the status is all
// there is.
func ReadError(resp *http.Response) *Error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body))
	e := &Error{Status: resp.StatusCode, region: resp.Header.Get("X-Amz-Bucket-Region")}
	readError(body, e)
	switch e.Code {
	case "RequestTimeTooSkewed", "RequestExpired", "InvalidSignatureException":
		e.Hint = fmt.Sprintf("set this machine's clock, or check the credentials; the server's clock says %q", transport.Printable(resp.Header.Get("Date")))
	case "ExpiredToken", "ExpiredTokenException":
		e.Hint = "the role's credentials have expired: check the metadata service and this machine's clock"
	case "InvalidToken", "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException":
		e.Hint = "these credentials are not known here: check the role, and that the region belongs to its account's partition"
	case "SignatureDoesNotMatch":
		e.Hint = "a proxy may be changing the request: check HTTPS_PROXY; or set this machine's clock"
	}
	return e
}

// readError reads the code and message of an error in XML (S3's is bare, the query
// services' is inside an ErrorResponse) or in JSON 1.1.
func readError(body []byte, e *Error) {
	type fields struct {
		Code    string
		Message string
		Region  string
	}
	var asXML struct {
		XMLName xml.Name
		fields
		Error fields
	}
	var asJSON struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // Message as well: encoding/json ignores the case
	}
	text := bytes.TrimSpace(body)
	switch {
	case bytes.HasPrefix(text, []byte("<")) && xml.Unmarshal(text, &asXML) == nil:
		found := map[string]fields{"Error": asXML.fields, "ErrorResponse": asXML.Error}[asXML.XMLName.Local]
		e.Code, e.Message = transport.Printable(found.Code), transport.Printable(found.Message)
		if e.region == "" {
			e.region = found.Region
		}
	case bytes.HasPrefix(text, []byte("{")) && json.Unmarshal(text, &asJSON) == nil:
		code := asJSON.Type[strings.LastIndexByte(asJSON.Type, '#')+1:]
		e.Code, e.Message = transport.Printable(code), transport.Printable(asJSON.Message)
	}
}
