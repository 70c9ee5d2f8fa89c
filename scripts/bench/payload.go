package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// top is the folder that every bundle holds.
const top = "start-up-bundle"

// startScript is each module's: enough to be sure that it saw its files.
const startScript = "#!/bin/sh\nset -- *\necho \"$# files\"\n"

// payload is a folder of modules: two thirds of its bytes read like text and
// configuration, one third is dense like pictures, keys and jars.
type payload struct {
	name    string // of its folder, and in URLs
	title   string
	modules int
	files   int   // in all modules, their start scripts not counted
	bytes   int64 // of these files
	even    bool  // all files have one size; else sizes spread over four decades
	copies  int   // the files of another payload this often, as hard links
}

// The payloads. The sizes are those that bundles have: some configuration, an
// application, one with a tree of libraries.
func payloads() map[string]payload {
	all := map[string]payload{}
	for _, p := range []payload{
		{name: "modules", title: "5 modules, 1 MB", modules: 5, files: 25, bytes: 1e6},
		{name: "files", title: "200 files, 2 MB", modules: 2, files: 200, bytes: 2e6},
		{name: "mixed", title: "mixed files, 200 MB", modules: 4, files: 600, bytes: 200e6},
		{name: "small", title: "20,000 files of 4 KB", modules: 4, files: 20_000, bytes: 20_000 * 4096, even: true},
		{name: "large", title: "mixed files, 2 GB", modules: 4, files: 6000, bytes: 2000e6, copies: 10},
	} {
		all[p.name] = p
	}
	return all
}

// write makes the payload's modules below dir, the same ones each time.
func (p payload) write(dir string) error {
	g := &generator{rand: rand.New(rand.NewPCG(1, uint64(p.files)))} //nolint:gosec // the same files each time
	g.vocabulary()
	sizes := g.sizes(p)
	for i, size := range sizes {
		module := filepath.Join(dir, fmt.Sprintf("module%d", i%p.modules+1))
		folder := filepath.Join(module, "files", fmt.Sprintf("%02d", i/p.modules/100))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if i < p.modules {
			if err := os.WriteFile(filepath.Join(module, "start"), []byte(startScript), 0o755); err != nil {
				return err
			}
		}
		if err := g.file(filepath.Join(folder, fmt.Sprintf("%05d", i)), size, i%3 == 2); err != nil {
			return err
		}
	}
	return nil
}

// link makes the payload of the files of another, which is at from.
func (p payload) link(from, dir string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		module, rest, _ := strings.Cut(name, string(filepath.Separator))
		if rest == "start" {
			return secondName(path, filepath.Join(dir, name))
		}
		for i := range p.copies {
			if err := secondName(path, filepath.Join(dir, module, fmt.Sprintf("copy%d", i), rest)); err != nil {
				return err
			}
		}
		return nil
	})
}

// secondName gives a file a second name.
func secondName(file, name string) error {
	return errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.Link(file, name))
}

// generator makes content from a seed.
type generator struct {
	rand  *rand.Rand
	words []string
}

func (g *generator) vocabulary() {
	const letters = "etaoinshrdlucmfwypvbgkjqxz"
	for range 6000 {
		word := make([]byte, 3+g.rand.IntN(8))
		for i := range word {
			word[i] = letters[int(float64(len(letters))*math.Pow(g.rand.Float64(), 2))]
		}
		g.words = append(g.words, string(word))
	}
}

// sizes returns one size for each file, which add up to the payload's bytes.
func (g *generator) sizes(p payload) []int64 {
	weights := make([]float64, p.files)
	var sum float64
	for i := range weights {
		weights[i] = 1
		if !p.even {
			weights[i] = math.Pow(10, 4*g.rand.Float64())
		}
		sum += weights[i]
	}
	sizes := make([]int64, p.files)
	for i, w := range weights {
		sizes[i] = int64(float64(p.bytes) * w / sum)
	}
	return sizes
}

// file writes one file. It streams: the bench's own memory is the least that
// any program it starts can show as its peak.
func (g *generator) file(path string, size int64, dense bool) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	if dense {
		_, err = io.CopyN(w, rand.NewChaCha8([32]byte{byte(size), byte(size >> 8), byte(size >> 16)}), size)
	} else {
		g.text(w, size)
	}
	return errors.Join(err, w.Flush(), f.Close())
}

// text writes words, the first ones of the vocabulary more often than the last.
func (g *generator) text(w *bufio.Writer, size int64) {
	for size > 0 {
		x := g.rand.Float64()
		word := g.words[int(float64(len(g.words))*x*x*x)]
		end := byte(' ')
		if x < 0.1 {
			end = '\n'
		}
		n := min(int64(len(word)), size-1)
		_, _ = w.WriteString(word[:n]) // Flush has its error
		_ = w.WriteByte(end)
		size -= n + 1
	}
}

// count returns how many files are below dir, and their bytes. A bundle.json,
// which only some contenders unpack, is not counted.
func count(dir string) (files, bytes int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "bundle.json" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		bytes += info.Size()
		return nil
	})
	return files, bytes, err
}
