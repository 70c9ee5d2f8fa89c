package screen

import (
	"errors"
	"strings"

	"startup-bundle/agent"
	"startup-bundle/agent/record"
	"startup-bundle/internal/terminal"
)

// step is one thing to do: what, and a command for it. Where there is no such
// command, then is left out; without what, the whole step is.
type step struct{ what, then, command string }

// meaning says what an exit code stands for. The table of docs/operations.md
// has the same words.
func meaning(code agent.Code) string {
	switch code {
	case agent.CodeUserdata:
		return "the userdata is not usable, or metadata did not give it"
	case agent.CodeKey:
		return "the bundle's key was not to be had"
	case agent.CodeFetch:
		return "the bundle was not to be had"
	case agent.CodeOpen:
		return "the bundle was not opened"
	case agent.CodeUnpack:
		return "the bundle holds what no bundle may"
	case agent.CodeModule:
		return "a module failed"
	case agent.CodeRecord:
		return "the disk or the record"
	case agent.CodeDeadline:
		return "the run's timeout passed"
	}
	return "something else"
}

// steps writes what to do next.
func (v *View) steps(p *page) {
	steps := v.todo()
	if len(steps) == 0 {
		return
	}
	p.line("")
	p.line("what to do")
	for _, s := range steps {
		switch {
		case s.command != "":
			p.wrapped("  - ", s.what+s.then)
			p.line("      " + s.command)
		case s.what != "":
			p.wrapped("  - ", s.what)
		}
	}
	if v.Public {
		p.line("")
		p.line("(as root, this screen tells more)")
	}
}

func (v *View) todo() []step {
	switch {
	case errors.Is(v.Unread, record.ErrDamaged) && !v.Alive:
		path := terminal.Quote(v.unread)
		if v.Run != nil && v.unread == (agent.Paths{Root: v.Root}).Status() {
			return []step{{"move the status file away, which is not the agent's:", "", "mv " + path + " " + path + ".bad"}}
		}
		return []step{
			{"move the record away, which cannot be read; no run begins before:", "", "mv " + path + " " + path + ".bad"},
			{"", "then begin anew:", v.again()},
		}
	case v.Run == nil:
		return v.nothingRead()
	}
	if v.Rehearsal != nil && v.Code() != agent.CodeDone && v.Code() != agent.CodeRunning {
		return v.afterRehearsal()
	}
	again := step{"", "then go on:", v.again()}
	read := v.readAll()
	change := "(an instance must be stopped for its userdata to be changed)"
	switch code := v.Code(); code {
	case agent.CodeDone:
		return nil
	case agent.CodeRunning:
		return v.whileRunning()
	case agent.CodeInterrupted:
		return v.afterInterruption()
	case agent.CodeUserdata:
		if v.Run.InstanceID == "" {
			return v.mendMetadata()
		}
		return []step{read, {"correct the userdata " + change, ", or, where metadata was only late, go on:", v.again()}}
	case agent.CodeKey:
		return []step{{what: "see that key_from: in the userdata names the key, and that the instance's role may read it"}, read, again}
	case agent.CodeFetch:
		return []step{{what: "see that url: in the userdata is right, and can be reached from here: network, name, role, or a presigned URL that has run out"}, read, again}
	case agent.CodeOpen:
		return []step{{what: "compare key: and sha256: in the userdata with what startup-packer pack printed, and correct them " + change + "; or put the right bundle at its url"}, read, again}
	case agent.CodeUnpack:
		return []step{{what: "pack the bundle anew, without what the error names, and put it at its url"}, read, again}
	case agent.CodeModule:
		return v.afterModules()
	case agent.CodeRecord:
		return v.mendDisk()
	case agent.CodeDeadline:
		if m := v.current(); m != nil {
			read = step{"see what it waited for:", "", v.logs(m.Name, "")}
		}
		return []step{read, {"raise timeout: in the userdata " + change + ", or mend what was waited for", " and go on:", v.again()}}
	}
	return []step{read, again}
}

func (v *View) readAll() step { return step{"read all that happened:", "", v.agent("logs")} }

func (v *View) nothingRead() []step {
	const unit = agent.Unit
	switch {
	case v.Public:
		return []step{{"look as root:", "", v.agent("status")}}
	case v.Unread != nil:
		return v.mendDisk()
	case v.Root != "":
		return []step{{"see whether the unit is enabled:", "", "systemctl --root " + terminal.Quote(v.Root) + " is-enabled " + unit}}
	}
	return []step{
		{"see whether the unit is enabled, and what it waits for:", "", "systemctl status " + unit},
		{"", "or run the agent by hand:", v.again()},
	}
}

func (v *View) mendDisk() []step {
	lib := v.path("/var/lib")
	return []step{
		{"see that the disk has room and is not read-only, and that you are root:", "", "df -h " + lib + "; df -i " + lib + "; findmnt -T " + lib},
		{"", "then go on:", v.again()},
	}
}

// mendMetadata is for metadata that did not say so much as which instance this is.
func (v *View) mendMetadata() []step {
	return []step{
		{what: "see the instance's metadata options: is the endpoint enabled, and the hop limit high enough (2 from within a container)?"},
		{"see that there is a route to it, and that no firewall is in between:", "", "ip route get 169.254.169.254"},
		v.readAll(),
		{"", "then go on:", v.again()},
	}
}

func (v *View) whileRunning() []step {
	steps := []step{{"wait for its end:", "", strings.TrimPrefix(v.agent("status --wait"), sudo)}}
	if m := v.current(); m != nil {
		return append(steps, step{"watch what it prints:", "", v.logs(m.Name, " -f")})
	}
	return append(steps, step{"watch it:", "", v.agent("logs -f")})
}

func (v *View) afterInterruption() []step {
	steps := []step{{"nothing: it goes on by itself at the next start of the machine", "; or go on now:", v.again()}}
	if !v.Died() {
		return steps
	}
	kernel := "journalctl -k"
	if v.Root != "" {
		kernel = "journalctl -D " + v.path("/var/log/journal") + " _TRANSPORT=kernel"
	}
	return append([]step{{"see whether memory ran out:", "", kernel + " -g 'out of memory'"}}, steps...)
}

// afterRehearsal is for a run that startup-packer rehearse made: nothing goes on
// with it, and its files may be about to be removed.
func (v *View) afterRehearsal() []step {
	again := step{"correct what failed, and rehearse again:", "", v.Rehearsal.Again}
	switch {
	case v.Code() == agent.CodeInterrupted:
		again.what = "rehearse again:"
	case v.Rehearsal.Kept && v.Code() == agent.CodeModule:
		return append(v.readFailed(), again)
	}
	if v.Rehearsal.Kept {
		return []step{v.readAll(), again}
	}
	return []step{again}
}

func (v *View) afterModules() []step {
	return append(v.readFailed(), step{"mend what it needs", ", and go on with it:", v.again()})
}

// readFailed is to read what the first modules that failed have printed.
func (v *View) readFailed() []step {
	var steps []step
	for _, m := range v.Run.Modules {
		if m.State == record.Failed {
			steps = append(steps, step{"read all that " + m.Name + " printed:", "", v.logs(m.Name, "")})
		}
	}
	const most = 3
	return steps[:min(len(steps), most)]
}

// again is the command that goes on with the run, as it was begun. There is none
// for the disk of another machine: with --root alone the agent would ask this
// machine's metadata what to do there.
func (v *View) again() string {
	switch {
	case v.Run != nil && v.Run.Unit != "" && v.Root == "":
		if v.Public {
			return sudo + agent.Restart
		}
		return agent.Restart
	case v.Run != nil && v.Run.Userdata != "":
		return v.agent("run --userdata " + terminal.Quote(v.Run.Userdata))
	case v.Root != "":
		return ""
	}
	return v.agent("run")
}

const sudo = "sudo "

// agent is a command of this program, which needs root.
func (v *View) agent(args string) string {
	command := "startup-agent " + args
	if v.Public {
		command = sudo + command
	}
	if v.Root != "" {
		command += " --root " + terminal.Quote(v.Root)
	}
	return command
}

func (v *View) path(path string) string {
	return terminal.Quote(strings.TrimSuffix(v.Root, "/") + path)
}

// logs is the command that shows what a module printed. A folder of a bundle made
// by hand can have any name, and one that begins with a hyphen is no flag.
func (v *View) logs(module, flags string) string {
	if strings.HasPrefix(module, "-") {
		return v.agent("logs"+flags) + " -- " + terminal.Quote(module)
	}
	return v.agent("logs " + terminal.Quote(module) + flags)
}
