package document_test

import (
	"errors"
	"strings"
	"testing"

	"startup-bundle/internal/document"
)

// These reach a loader, a shell or an interpreter before a module's first line.
const takenOver = `LD_PRELOAD LD_AUDIT LD_LIBRARY_PATH DYLD_INSERT_LIBRARIES GLIBC_TUNABLES GCONV_PATH LOCPATH NLSPATH
	MALLOC_PERTURB_ TMPDIR HOSTALIASES RES_OPTIONS TZDIR TEXTDOMAINDIR BASH_ENV ENV SHELLOPTS BASHOPTS PS4 PROMPT_COMMAND
	IFS CDPATH GLOBIGNORE BASH_LOADABLES_PATH SHELL ZDOTDIR FPATH INPUTRC PERL5OPT PERL5LIB PERL5DB PERLLIB PERLIO
	PYTHONPATH PYTHONSTARTUP PYTHONHOME PYTHONINSPECT RUBYOPT RUBYLIB GEM_HOME GEM_PATH BUNDLE_GEMFILE NODE_OPTIONS
	NODE_PATH npm_config_prefix JAVA_TOOL_OPTIONS _JAVA_OPTIONS JDK_JAVA_OPTIONS CLASSPATH JAVA_HOME LUA_INIT LUA_INIT_5_4
	LUA_PATH LUA_CPATH PHPRC PHP_INI_SCAN_DIR TCLLIBPATH TCL_LIBRARY ERL_LIBS ERL_FLAGS DOTNET_STARTUP_HOOKS PSModulePath
	APT_CONFIG DPKG_ROOT DEBCONF_SYSTEMRC GIT_SSH_COMMAND GIT_CONFIG_GLOBAL SSH_ASKPASS SSH_AUTH_SOCK CURL_HOME
	CURL_CA_BUNDLE WGETRC SSL_CERT_FILE SSL_CERT_DIR OPENSSL_CONF OPENSSL_MODULES PGHOST PGSERVICEFILE DOCKER_HOST
	DOCKER_CONFIG LESSOPEN LESSCLOSE PAGER EDITOR VISUAL BROWSER XDG_CONFIG_HOME TAR_OPTIONS RSYNC_RSH MAKEFLAGS
	SYSTEMD_PAGER DBUS_SYSTEM_BUS_ADDRESS AWS_CONFIG_FILE KUBECONFIG GNUPGHOME XTABLES_LIBDIR TERMINFO GODEBUG`

const harmless = `ROLE APP_ENV http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY all_proxy LANG LC_ALL TZ
	LANGUAGE DEBIAN_FRONTEND USER LOGNAME AWS_REGION AWS_DEFAULT_REGION NODE_ENV DB_HOST POSTGRES_HOST MYSQL_HOST TERM
	ENVIRONMENT LDAP_URI LISTEN_PORT TMPFS_SIZE PHONE IFSX SHELLS`

func TestEnvNames(t *testing.T) {
	for name := range strings.FieldsSeq(takenOver) {
		text := "#startup-bundle\nurl: https://b.example/w\nkey: abcdefgh\nenv:\n  ROLE: web\n  " + name + ": stirringdullroots\n"
		_, err := document.Parse([]byte(text))
		var problems document.Errors
		if !errors.As(err, &problems) || len(problems) != 1 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if p := problems[0]; p.Line != 6 || p.Column != 3 || p.Field != "env" || !strings.Contains(p.Problem, " reads (") {
			t.Errorf("%s: %v", name, p)
		}
		if strings.Contains(err.Error(), "stirring") {
			t.Errorf("%s: the value is shown: %v", name, err)
		}
		d := document.Document{URLs: []string{"https://b.example/w"}, Env: map[string]string{name: "x"}}
		if text, err := d.Marshal(); err == nil {
			t.Errorf("%s: written: %s", name, text)
		}
		if document.CheckEnv(d.Env) == nil {
			t.Errorf("%s: taken from an environment that was kept", name)
		}
	}
	for name := range strings.FieldsSeq(harmless) {
		d := document.Document{URLs: []string{"https://b.example/w"}, Env: map[string]string{name: "x"}}
		if _, err := d.Marshal(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := document.CheckEnv(d.Env); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := document.CheckEnv(map[string]string{"STARTUP_X": "", "a b": ""}); err == nil {
		t.Error("the agent's own names are taken")
	}
}
