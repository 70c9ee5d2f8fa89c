package screen

import (
	"errors"
	"strings"

	"startup-bundle/agent"
	"startup-bundle/agent/record"
)

// step is one thing to do: what, and the command for it, if there is one.
type step struct{ what, command string }

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
		p.wrapped("  - ", s.what)
		if s.command != "" {
			p.line("      " + s.command)
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
		path := quoted(agent.Paths{Root: v.Root}.Record())
		return []step{
			{"move the record away, which cannot be read; no run begins before:", "mv " + path + " " + path + ".bad"},
			{"then begin anew:", v.agent("run")},
		}
	case v.Run == nil:
		return v.nothingRead()
	}
	again := step{"then go on:", v.agent("run")}
	read := step{"read all that happened:", v.agent("logs")}
	change := "(an instance must be stopped for its userdata to be changed)"
	switch code := v.Code(); code {
	case agent.CodeDone:
		return nil
	case agent.CodeRunning:
		return v.whileRunning()
	case agent.CodeInterrupted:
		steps := []step{{"nothing: it goes on by itself at the next start of the machine; or go on now:", v.agent("run")}}
		if v.Died() {
			return append([]step{{"see whether memory ran out:", "journalctl -k -g 'out of memory'"}}, steps...)
		}
		return steps
	case agent.CodeUserdata:
		return []step{read, {"correct the userdata " + change + ", or, where metadata was only late, go on:", v.agent("run")}}
	case agent.CodeKey:
		return []step{{"see that key_from: in the userdata names the key, and that the instance's role may read it", ""}, read, again}
	case agent.CodeFetch:
		return []step{{"see that url: in the userdata is right, and can be reached from here: network, name, role, or a presigned URL that has run out", ""}, read, again}
	case agent.CodeOpen:
		return []step{{"compare key: and sha256: in the userdata with what startup-packer pack printed, and correct them " + change + "; or put the right bundle at its url", ""}, read, again}
	case agent.CodeUnpack:
		return []step{{"pack the bundle anew, without what the error names, and put it at its url", ""}, read, again}
	case agent.CodeModule:
		return v.afterModules()
	case agent.CodeRecord:
		return v.mendDisk()
	case agent.CodeDeadline:
		if m := v.current(); m != nil {
			read = step{"see what it waited for:", v.agent("logs " + m.Name)}
		}
		return []step{read, {"raise timeout: in the userdata " + change + ", or mend what was waited for and go on:", v.agent("run")}}
	}
	return []step{read, again}
}

func (v *View) nothingRead() []step {
	switch {
	case v.Public:
		return []step{{"look as root:", "sudo " + v.agent("status")}}
	case v.Unread != nil:
		return v.mendDisk()
	}
	return []step{
		{"see whether the unit is enabled, and what it waits for:", "systemctl status startup-agent.service"},
		{"or run the agent by hand:", v.agent("run")},
	}
}

func (v *View) mendDisk() []step {
	lib := v.path("/var/lib")
	return []step{
		{"see that the disk has room and is not read-only, and that you are root:", "df -h " + lib + "; findmnt -T " + lib},
		{"then go on:", v.agent("run")},
	}
}

func (v *View) whileRunning() []step {
	steps := []step{{"wait for its end:", v.agent("status --wait")}}
	if m := v.current(); m != nil {
		return append(steps, step{"watch what it prints:", v.agent("logs " + m.Name + " -f")})
	}
	return append(steps, step{"watch it:", v.agent("logs -f")})
}

func (v *View) afterModules() []step {
	var steps []step
	for _, m := range v.Run.Modules {
		if m.State == record.Failed {
			steps = append(steps, step{"read all that " + m.Name + " printed:", v.agent("logs " + m.Name)})
		}
	}
	const most = 3
	steps = steps[:min(len(steps), most)]
	return append(steps, step{"mend what it needs, and go on with it:", v.agent("run")})
}

// agent is a command of this program.
func (v *View) agent(args string) string {
	if v.Root == "" {
		return "startup-agent " + args
	}
	return "startup-agent " + args + " --root " + quoted(v.Root)
}

func (v *View) path(path string) string { return quoted(strings.TrimSuffix(v.Root, "/") + path) }

// quoted is text as a shell reads it back.
func quoted(text string) string {
	if strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+@") == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
