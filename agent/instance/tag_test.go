package instance_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"startup-bundle/agent/instance"
	"startup-bundle/internal/imdstest"
)

func TestTag(t *testing.T) {
	const group = "aws:autoscaling:groupName"
	const path = "/latest/meta-data/tags/instance/" + group
	tagged := imdstest.Sample()
	tagged.Tags = map[string]string{group: "web group"}
	other := imdstest.Sample()
	other.Tags = map[string]string{"Name": "web"}
	tests := map[string]struct {
		in     imdstest.Instance
		fault  imdstest.Fault
		want   string
		err    error
		within time.Duration
	}{
		"is read at once":                                 {in: tagged, want: "web group"},
		"may come late":                                   {in: tagged, fault: imdstest.Fault{For: 9 * time.Second, Path: path, Do: imdstest.Status(404)}, want: "web group", within: 10 * time.Second},
		"is read in spite of a 503":                       {in: tagged, fault: imdstest.Fault{For: 20 * time.Second, Path: path, Do: imdstest.Status(503)}, want: "web group", within: 21 * time.Second},
		"is empty where it is not":                        {in: other, within: 11 * time.Second},
		"is ErrNoTags where tags are not in the metadata": {in: imdstest.Sample(), err: instance.ErrNoTags, within: 11 * time.Second},
		"is not ErrNoTags where nothing answers": {
			in: tagged, fault: imdstest.Fault{Do: imdstest.Status(http.StatusServiceUnavailable)},
			err: instance.ErrUnreachable, within: instance.DefaultDeadline + time.Second,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var faults []imdstest.Fault
			if tt.fault.Do != nil {
				faults = append(faults, tt.fault)
			}
			boot(t, tt.in, nil, faults, func(t *testing.T, m machine) {
				got, err := m.client.Tag(t.Context(), group)
				if got != tt.want || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
					t.Errorf("%q, %v", got, err)
				}
				if errors.Is(err, instance.ErrNoTags) && errors.Is(err, instance.ErrUnreachable) {
					t.Errorf("both: %v", err)
				}
				if took := time.Since(m.began); took > tt.within {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}
