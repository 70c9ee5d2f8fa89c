package source

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-retryablehttp"

	"startup-bundle/internal/bundle"
)

// maxArchive is the largest archive that is downloaded, in bytes.
const maxArchive = 1 << 30

// archivePatience is how long a download may take.
const archivePatience = 10 * time.Minute

// archive is a tar behind a URL, whose digest is in the reference: it cannot stand
// for anything else.
type archive struct{}

func (archive) resolve(_ context.Context, r Reference) (resolution, error) {
	return resolution{resolved: "sha256:" + r.sha256, name: r.Name, fixed: true}, nil
}

func (archive) fetch(ctx context.Context, r Reference, resolved, dest string) error {
	if resolved != "sha256:"+r.sha256 {
		return fmt.Errorf("%w: it is locked as %s and named as sha256:%s", ErrDrift, resolved, r.sha256)
	}
	ctx, cancel := context.WithTimeout(ctx, archivePatience)
	defer cancel()
	file, err := os.Create(filepath.Join(filepath.Dir(dest), "archive"))
	if err != nil {
		return err
	}
	defer file.Close()
	found, err := download(ctx, r.url, file)
	if err != nil {
		return fmt.Errorf("download it: %w", err)
	}
	if found != r.sha256 {
		return fmt.Errorf("%w: the archive is sha256:%s and is named as sha256:%s", ErrDrift, found, r.sha256)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return bundle.UnpackModule(ctx, file, dest, bundle.Limits{})
}

// download writes a file to w and returns its sha256. Its errors do not hold the
// URL: a query may be a credential.
func download(ctx context.Context, from string, w io.Writer) (string, error) {
	client := retryablehttp.NewClient()
	client.Logger, client.RetryMax, client.RetryWaitMax = nil, 3, 5*time.Second
	client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	client.HTTPClient = &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second, DisableKeepAlives: true,
		},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			if len(via) > 5 || (via[0].URL.Scheme == "https" && next.URL.Scheme != "https") {
				return errors.New("it is redirected too often, or away from https")
			}
			next.Header.Del("Referer") // where an archive is, is nobody else's business
			return nil
		},
	}
	request, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return "", errors.New("its URL cannot be asked for")
	}
	answer, err := client.Do(request)
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the server says %s", answer.Status)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(answer.Body, maxArchive+1))
	switch {
	case err != nil:
		return "", err
	case n > maxArchive:
		return "", fmt.Errorf("it is larger than %d bytes", int64(maxArchive))
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
