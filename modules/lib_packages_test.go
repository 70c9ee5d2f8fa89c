package modules_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestInstallOnDebian(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.write("pkgs/there", "")
	h.write("available", "maybe\n")
	const script = "pkg_install there new deb:d rpm:r deb?:maybe deb?:unknown rpm?:r2"
	h.want(0, script).wantChanges(t, "1")
	h.wantCalls("apt-get update", "apt-get install new d maybe")
	h.want(0, script).wantChanges(t, "0")
	if h.exists("pkgs/r") || h.exists("pkgs/unknown") {
		t.Error("installed what is not for this system")
	}
	h.want(0, "pkg_install another")
	if got := h.calls(); got[len(got)-1] != "apt-get install another" || len(got) != 1 {
		t.Errorf("lists a minute old were fetched again: %v", got)
	}
}

func TestInstallOnAmazonLinux(t *testing.T) {
	t.Parallel()
	h := newHost(t, amzn2023)
	h.write("available", "maybe\n")
	const script = "pkg_install both deb:d 'rpm:perl(JSON::XS)' rpm?:maybe rpm?:unknown"
	h.want(0, script).wantChanges(t, "1")
	h.wantCalls("dnf install both perl(JSON::XS) maybe")
	h.want(0, script).wantChanges(t, "0")
	h.wantCalls()

	h.write("dnf-fails", "")
	h.want(1, "pkg_install other").wantChanges(t, "0")
}

func TestInstallWithoutAPackageManager(t *testing.T) {
	t.Parallel()
	got := newHost(t, "ID=plan9\n").want(1, "pkg_install x")
	wantIn(t, got.stderr, "no package manager is known for plan9")
}

func TestInstallWaitsForEveryAptLock(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.write("apt-errors", "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n"+
		"E: Could not get lock /var/cache/apt/archives/lock\n"+
		"dpkg: error: dpkg frontend lock was locked by another process with pid 8\n")
	h.want(0, "pkg_install x").wantChanges(t, "1")
	h.wantCalls("apt-get update", "sleep 5", "apt-get update", "sleep 5", "apt-get update", "sleep 5",
		"apt-get update", "apt-get install x")
}

// apt reports a lock that it may not open almost as one that another process holds.
func TestInstallWithoutRootFailsAtOnce(t *testing.T) {
	t.Parallel()
	for _, said := range []string{
		"E: Could not get lock /var/lib/apt/lists/lock. - open (13: Permission denied)",
		"E: Could not open lock file /var/lib/dpkg/lock-frontend - open (13: Permission denied)",
		"E: List directory /var/lib/apt/lists/partial is missing. - Acquire (13: Permission denied)",
	} {
		for _, fresh := range []bool{false, true} {
			h := newHost(t, debian12)
			want := "apt-get update"
			if fresh {
				h.write("var/lib/apt/startup-agent-updated", "")
				want = "apt-get install x"
			}
			h.write("apt-errors", strings.Repeat(said+"\n", 9))
			got := h.want(1, "pkg_install x")
			got.wantChanges(t, "0")
			wantIn(t, got.stderr, "installing packages needs root")
			h.wantCalls(want)
			if h.exists("pkgs/x") || h.exists("usr/sbin/policy-rc.d") {
				t.Errorf("%s: a package or the guard was left behind", said)
			}
		}
	}
}

func TestInstallRefreshesOldListsAndTriesAgain(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.write("var/lib/apt/startup-agent-updated", "")
	h.write("apt-errors", "E: Failed to fetch http://mirror/x.deb 404 Not Found\n")
	h.want(0, "pkg_install x").wantChanges(t, "1")
	h.wantCalls("apt-get install x", "apt-get update", "apt-get install x")
}

func TestInstallFailures(t *testing.T) {
	t.Parallel()
	const noNet = "E: Failed to fetch http://mirror/x.deb Could not connect\n"
	const noSuch = "E: Unable to locate package x\n"
	for _, test := range []struct {
		name, errors string
		fresh        bool // the lists
		code         int
		calls        []string
	}{
		{
			"a mirror that update cannot reach is worth another try", strings.Repeat(noNet, 3), false, 75,
			[]string{"apt-get update", "sleep 3", "apt-get update", "sleep 6", "apt-get update", "sleep 9"},
		},
		{
			"a mirror that cannot be reached for new lists too", strings.Repeat(noNet, 4), true, 75,
			[]string{"apt-get install x", "apt-get update", "sleep 3", "apt-get update", "sleep 6", "apt-get update", "sleep 9"},
		},
		{
			"a package that does not exist is not", noSuch + "-\n" + noSuch, true, 1,
			[]string{"apt-get install x", "apt-get update", "apt-get install x"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, debian12)
			if test.fresh {
				h.write("var/lib/apt/startup-agent-updated", "")
			}
			h.write("apt-errors", test.errors)
			h.want(test.code, "pkg_install x").wantChanges(t, "0")
			h.wantCalls(test.calls...)
			if h.exists("pkgs/x") || h.exists("usr/sbin/policy-rc.d") {
				t.Error("a package or the guard was left behind")
			}
		})
	}
}

func TestServicesAreHeldBackDuringAnInstall(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.want(0, "pkg_install x")
	if h.exists("usr/sbin/policy-rc.d") {
		t.Fatal("the guard was left behind")
	}
	policy := filepath.Join(h.root, "policy-seen")
	for args, want := range map[[2]string]int{
		{"redis", "start"}:             101,
		{"redis.service", "start"}:     101,
		{"epmd.socket", "start"}:       101,
		{"logrotate.timer", "start"}:   104,
		{"redis.service", "restart"}:   104,
		{"redis.service", "stop"}:      104,
		{"start-stop.service", "stop"}: 104,
	} {
		cmd := exec.CommandContext(t.Context(), "sh", policy, args[0], args[1])
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("policy-rc.d %v: exit code %d, want %d", args, got, want)
		}
	}
}

func TestAGuardLeftByAKilledRunIsRemoved(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	if got := h.run("_guard\nkill -9 $$"); got.code != -1 || !h.exists("usr/sbin/policy-rc.d") {
		t.Fatalf("exit code %d, guard there: %v", got.code, h.exists("usr/sbin/policy-rc.d"))
	}
	h.want(0, "log a check, while somebody installs")
	if !h.exists("usr/sbin/policy-rc.d") {
		t.Error("a script that installs nothing removed the guard of another")
	}
	h.write("pkgs/x", "")
	h.want(0, "pkg_install x").wantChanges(t, "0")
	if h.exists("usr/sbin/policy-rc.d") {
		t.Error("the guard is still there")
	}
}

func TestTheMachinesOwnPolicyIsKept(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	const own = "#!/bin/sh\nexit 101\n"
	h.write("usr/sbin/policy-rc.d", own)
	h.want(0, "pkg_install x")
	if h.read("usr/sbin/policy-rc.d") != own || h.read("policy-seen") != own {
		t.Error("the machine's own policy-rc.d was touched")
	}
}

func TestAnInterruptedDpkgIsRepairedFirst(t *testing.T) {
	t.Parallel()
	h := newHost(t, debian12)
	h.write("var/lib/dpkg/updates/0001", "")
	h.want(0, "pkg_install x")
	h.wantCalls("apt-get update", "dpkg --configure -a", "apt-get install x")
}
