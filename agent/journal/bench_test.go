package journal

import (
	"bytes"
	"fmt"
	"testing"
)

func BenchmarkPrinter(b *testing.B) {
	line := []byte(fmt.Sprintf(`{"level":"info","time":"2026-11-22T21:38:37.123Z","msg":"output","phase":"modules","module":"web","line":"Get:%d http://mirror.example/debian bookworm/main amd64 package-%d all 1.2.3-4 [123 kB]"}`, 12345, 12345))
	var p Printer
	var dst []byte
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		dst = p.Append(dst[:0], line)
	}
}

func BenchmarkLines(b *testing.B) {
	text := bytes.Repeat([]byte("Get:1 http://mirror.example/debian bookworm/main amd64 package all 1.2.3-4 [123 kB], and so on\n"), 10000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		var l Lines
		_ = l.Each(bytes.NewReader(text), true, func([]byte) error { return nil })
	}
}
