package userdata_test

import (
	"startup-bundle/agent/userdata"
	"testing"
)

func TestParseKinds(t *testing.T) {
	for text, want := range map[string]userdata.Kind{
		"": userdata.None,
		"#startup-bundle\nurl: https://b.example/w\nkey: stirringdullroots\n": userdata.Document,
		"#!/bin/sh\necho hi\n": userdata.Script,
		"#cloud-config\n":      userdata.Foreign,
		"Content-Type: multipart/mixed; boundary=B\n\n--B\nContent-Type: text/x-startup-bundle\n\n#startup-bundle\nurl: https://b.example/w\n--B--\n": userdata.Document,
	} {
		got, err := userdata.Parse([]byte(text))
		if err != nil || got.Kind != want {
			t.Errorf("%q: %q, %v", text, got.Kind, err)
		}
	}
}
