package hint

import (
	"errors"
	"net/http"
	"net/url"
)

// OfRequest returns the error of a failed request of HTTP without the request's URL, and with a hint where the server does not use TLS. The
// caller names the address.
func OfRequest(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return With(err, "write http:// in the address and disable ssl, or have the server use TLS")
	}
	return err
}
