package agent

import (
	"os"
	"strings"
)

// Unit is the systemd unit that runs the agent at boot.
const Unit = "startup-agent.service"

// Restart is the command that goes on with a run that the unit began. By hand it would
// leave the unit failed, and miss what a drop-in sets.
const Restart = "systemctl restart startup-agent"

// OwnUnit returns Unit if this process is the unit's, else "". The control group tells:
// children of other services and of terminals inherit INVOCATION_ID.
func OwnUnit() string {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return unitOf(string(text))
}

// unitOf reads a /proc/PID/cgroup: lines such as 0::/system.slice/startup-agent.service.
func unitOf(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		if strings.HasSuffix(strings.TrimSpace(line), "/"+Unit) {
			return Unit
		}
	}
	return ""
}
