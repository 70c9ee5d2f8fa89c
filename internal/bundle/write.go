package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"startup-bundle/internal/files"
)

const (
	smallFile  = 64 << 10 // files up to this size are written by the writers; a batch's buffer
	maxWriters = 4        // and no more than processors: in one folder they wait for each other
	maxFolders = 128      // folder handles held open
	batchFiles = 32       // that one batch has at most
)

// treeWriter makes files and folders below a root. Small files are written by a
// few goroutines, some at a time: their cost is system calls, and those of one file
// wait for each other. Folders are resolved through the os.Root and their descriptors
// kept; a file is then one openat with O_EXCL, so that a name that is there
// already is an error and nothing is ever opened through a link.
//
// Its methods are for one goroutine.
type treeWriter struct {
	root    *os.Root
	made    map[string]bool // folders; true: named by an entry of its own
	folders map[string]*os.File
	implied int64 // folders made, but not (yet) named by an entry of their own
	names   int64 // bytes of the names in made
	exact   bool  // the umask lets 0755 and 0644 through

	next    batch // of the next files
	batches chan batch
	free    chan batch
	ended   sync.WaitGroup // the writers
	pending sync.WaitGroup // batches not yet done

	mu  sync.Mutex
	err error // the first of any writer
}

type job struct {
	folder int
	name   string // the whole path, for errors
	mode   fs.FileMode
	data   []byte // in a batch's buffer
}

// batch is small files that one writer makes: to hand over each alone costs a good
// part of making it. The zero value is one whose memory is not made yet.
type batch struct {
	jobs   []job
	buffer []byte // what the files hold, one behind the other
}

func newTreeWriter(root *os.Root) (*treeWriter, error) {
	writers := min(maxWriters, runtime.GOMAXPROCS(0))
	w := &treeWriter{
		root:    root,
		made:    map[string]bool{".": true},
		folders: map[string]*os.File{},
		batches: make(chan batch, writers),
		free:    make(chan batch, 2*writers),
	}
	if err := w.probe(); err != nil {
		return nil, err
	}
	for range cap(w.free) {
		w.free <- batch{}
	}
	for range writers {
		w.ended.Go(w.run)
	}
	return w, nil
}

// probe finds out whether the process's umask changes modes. It is looked at by
// its effect: reading it would change it for the whole process.
func (w *treeWriter) probe() error {
	const name = "umask"
	f, err := w.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	w.exact = err == nil && info.Mode().Perm() == 0o755
	return errors.Join(err, f.Close(), w.root.Remove(name))
}

func (w *treeWriter) run() {
	for b := range w.batches {
		for _, j := range b.jobs {
			if err := w.small(j); err != nil {
				w.fail(err)
			}
		}
		w.free <- batch{b.jobs[:0], b.buffer[:0]}
		w.pending.Done()
	}
}

func (w *treeWriter) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
}

func (w *treeWriter) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// folder makes a folder that the archive names.
func (w *treeWriter) folder(name string) error {
	if name == "." {
		return nil
	}
	if w.made[name] {
		return unsafe("%q is there twice", name)
	}
	if err := w.makeAll(name); err != nil {
		return err
	}
	w.made[name] = true
	w.implied--
	return nil
}

func (w *treeWriter) makeAll(name string) error {
	if w.has(name) {
		return nil
	}
	if err := w.makeAll(path.Dir(name)); err != nil {
		return err
	}
	if err := madeOnce(name, w.root.Mkdir(name, 0o755)); err != nil {
		return err
	}
	if !w.exact {
		if err := w.root.Chmod(name, 0o755); err != nil {
			return err
		}
	}
	w.made[name] = false
	w.implied++
	w.names += int64(len(name))
	return nil
}

// has reports whether the folder is there.
func (w *treeWriter) has(name string) bool {
	_, ok := w.made[name]
	return ok
}

func (w *treeWriter) handle(name string) (int, error) {
	if f, ok := w.folders[name]; ok {
		return int(f.Fd()), nil
	}
	if err := w.makeAll(name); err != nil {
		return 0, err
	}
	if len(w.folders) >= maxFolders {
		w.release()
	}
	f, err := w.root.Open(name)
	if err != nil {
		return 0, madeOnce(name, err)
	}
	w.folders[name] = f
	return int(f.Fd()), nil
}

// release closes all folder handles, once no writer uses one.
func (w *treeWriter) release() {
	w.flush()
	w.pending.Wait()
	for _, f := range w.folders {
		_ = f.Close()
	}
	clear(w.folders)
}

// file makes a file of size bytes from content. A small one is only on its way
// when file returns; an error in writing it comes from a later call, or close.
func (w *treeWriter) file(name string, mode fs.FileMode, size int64, content io.Reader) error {
	if err := w.failed(); err != nil {
		return err
	}
	folder, err := w.handle(path.Dir(name))
	if err != nil {
		return err
	}
	if size > smallFile {
		return w.large(job{folder: folder, name: name, mode: mode}, content)
	}
	data := w.room(int(size))
	if _, err := io.ReadFull(content, data); err != nil {
		return tarError(err)
	}
	w.next.jobs = append(w.next.jobs, job{folder, name, mode, data})
	return nil
}

// room returns size bytes of the next batch's buffer.
func (w *treeWriter) room(size int) []byte {
	full := len(w.next.buffer)+size > cap(w.next.buffer) || len(w.next.jobs) == batchFiles
	if full || w.next.buffer == nil {
		w.flush()
		w.next = w.unused()
	}
	from := len(w.next.buffer)
	w.next.buffer = w.next.buffer[:from+size]
	return w.next.buffer[from:]
}

// flush hands the next batch to the writers.
func (w *treeWriter) flush() {
	if len(w.next.jobs) > 0 {
		w.pending.Add(1)
		w.batches <- w.next
		w.next = batch{}
	}
}

func (w *treeWriter) unused() batch {
	b := <-w.free
	if b.buffer == nil {
		b = batch{make([]job, 0, batchFiles), make([]byte, 0, smallFile)}
	}
	return b
}

func (w *treeWriter) open(j job) (int, error) {
	fd, err := retryEINTR(func() (int, error) {
		return unix.Openat(j.folder, path.Base(j.name), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(j.mode))
	})
	if err != nil {
		return 0, madeOnce(j.name, err)
	}
	if !w.exact {
		if err := unix.Fchmod(fd, uint32(j.mode)); err != nil {
			return 0, errors.Join(fmt.Errorf("%s: %w", j.name, err), unix.Close(fd))
		}
	}
	return fd, nil
}

func (w *treeWriter) small(j job) error {
	fd, err := w.open(j)
	if err != nil {
		return err
	}
	for data := j.data; len(data) > 0; {
		n, err := retryEINTR(func() (int, error) { return unix.Write(fd, data) })
		if err != nil {
			return errors.Join(fmt.Errorf("%s: %w", j.name, err), unix.Close(fd))
		}
		data = data[n:]
	}
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("%s: %w", j.name, err)
	}
	return nil
}

func (w *treeWriter) large(j job, content io.Reader) error {
	fd, err := w.open(j)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), j.name)
	b := w.unused()
	_, err = io.CopyBuffer(onlyWriter{f}, content, b.buffer[:smallFile])
	w.free <- b
	return errors.Join(tarError(err), f.Close())
}

// onlyWriter hides os.File's ReadFrom, which would not use the buffer.
type onlyWriter struct{ io.Writer }

// close waits for the writers and returns the first error of any.
func (w *treeWriter) close() error {
	w.flush()
	close(w.batches)
	w.ended.Wait()
	w.release()
	return w.failed()
}

func retryEINTR(f func() (int, error)) (int, error) {
	for {
		n, err := f()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// madeOnce gives what a hostile archive provokes its name.
func madeOnce(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return unsafe("%q is there twice", name)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ELOOP):
		return unsafe("%q uses a file as a folder", name)
	case errors.Is(err, syscall.EMLINK):
		return unsafe("%q is one link more than this file system gives a file or folder", name)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// spaceError says what a full disk wanted.
func spaceError(err error, dir string) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrSpace, files.Room(err, path.Dir(dir)))
}
