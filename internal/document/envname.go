package document

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// CheckEnv refuses an environment that [Parse] would refuse for its names. It is
// for one that was kept outside a document.
func CheckEnv(env map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if problem, hint := checkEnvName(name); problem != "" {
			return &Error{Field: "env", Problem: problem, Hint: hint}
		}
	}
	return nil
}

// checkEnvName says what keeps name from being set by env, and what to do about
// it; nothing if it may be set. The text holds nothing of name.
//
// Lower-case names are taken too. Proxies (http_proxy and its kin) need them, and
// are allowed: docs/security.md says why.
func checkEnvName(name string) (problem, hint string) {
	if !matches(envName, name) {
		return "has a name that no variable can have", "use letters, digits and _, and no digit first"
	}
	if strings.HasPrefix(name, "STARTUP_") || strings.HasPrefix(name, "OPT_") ||
		slices.Contains([]string{"PATH", "HOME", "PWD"}, name) {
		return "has a name that the agent sets itself", "rename it: STARTUP_…, OPT_…, PATH, HOME and PWD are taken"
	}
	if slices.Contains(harmless(), name) {
		return "", ""
	}
	for _, r := range envReaders() {
		for pattern := range strings.FieldsSeq(r.names) {
			prefix, wild := strings.CutSuffix(pattern, "*")
			if name == pattern || wild && strings.HasPrefix(name, prefix) {
				return fmt.Sprintf("has a name that %s reads (%s)", r.program, pattern),
					"it could make root run something that is not in the bundle: rename it, or set it in the module"
			}
		}
	}
	return "", ""
}

// harmless are names that match a pattern of the list, are read by none of the
// programs themselves, and are what people call a setting of their own.
func harmless() []string {
	return []string{
		"NODE_ENV", "NODE_VERSION", "JAVA_VERSION", "PYTHON_VERSION", "RUBY_VERSION", "PHP_VERSION", "DOCKER_VERSION",
	}
}

// envReader is a program that does what the environment says: it loads a library,
// runs a command, or reads a file of settings that can name either.
type envReader struct {
	program string
	names   string // separated by spaces; a * at the end stands for any rest
}

// envReaders is the list of names that env may not set, whatever the bundle. It
// cannot be complete, so an image that runs only signed bundles refuses all env.
//
// Sources: glibc's sysdeps/generic/unsecvars.h and ld.so(8); sudo's
// initial_badenv_table (plugins/sudoers/env.c); bash(1), dash(1), zsh(1) and
// ksh(1) under "Shell Variables"; perlrun(1), python(1), ruby(1), node(1), lua(1),
// erl(1) and java(1) under "Environment"; PostgreSQL's "Environment Variables" of
// libpq; the manual pages of git, ssh, curl, wget, tar, rsync, less, make, gcc,
// iptables, dpkg, apt.conf, systemctl and OpenSSL; .NET's DOTNET_STARTUP_HOOKS.
func envReaders() []envReader {
	return []envReader{
		{"the dynamic loader", "LD_* DYLD_* _RLD* LDR_* LIBPATH SHLIB_PATH LTDL_LIBRARY_PATH"},
		{"the C library", "GLIBC_* GCONV_PATH GETCONF_DIR LOCPATH NLSPATH PATH_LOCALE TZDIR MALLOC_* TMPDIR TMP " +
			"TEMP HOSTALIASES LOCALDOMAIN RES_OPTIONS RESOLV_* NIS_PATH TEXTDOMAIN TEXTDOMAINDIR OUTPUT_CHARSET " +
			"POSIXLY_CORRECT"},
		{"a shell", "BASH BASH_* BASHOPTS SHELLOPTS SHELL ENV IFS CDPATH GLOBIGNORE EXECIGNORE FIGNORE " +
			"PROMPT_COMMAND PROMPT_DIRTRIM PS0 PS1 PS2 PS3 PS4 FPATH ZDOTDIR NULLCMD READNULLCMD TMPPREFIX " +
			"HISTFILE HISTIGNORE HISTTIMEFORMAT INPUTRC MAILPATH MAILCHECK OLDPWD TMOUT TIMEFORMAT FCEDIT fish_*"},
		{"Perl", "PERL*"},
		{"Python", "PYTHON* PIP_* UV_* VIRTUAL_ENV CONDA_* POETRY_*"},
		{"Ruby", "RUBY* GEM_* BUNDLE_* BUNDLER_*"},
		{"Node.js", "NODE_* npm_* NPM_* YARN_* DENO_* BUN_*"},
		{"Java", "JAVA_* _JAVA_* JDK_* JRE_* IBM_JAVA_* OPENJ9_* CLASSPATH MAVEN_* GRADLE_* ANT_* SBT_*"},
		{"Lua", "LUA_* LUAROCKS_*"},
		{"PHP", "PHP* COMPOSER_*"},
		{"Tcl", "TCL* TK_*"},
		{"Erlang", "ERL_* ELIXIR_* MIX_*"},
		{"Go", "GODEBUG GOFLAGS GOENV GOROOT GOPATH GOBIN GOPROXY GOSUMDB GONOSUMDB GONOSUMCHECK GOPRIVATE " +
			"GOINSECURE GOTOOLCHAIN GOTOOLDIR GOTRACEBACK GOAUTH GOVCS"},
		{"Rust", "CARGO_* RUSTC RUSTC_* RUSTDOC RUSTFLAGS RUSTUP_*"},
		{".NET", "DOTNET_* CORECLR_* COR_* COMPlus_* NUGET_* MONO_* PSModulePath"},
		{"an interpreter", "AWKPATH AWKLIBPATH R_HOME R_PROFILE* R_ENVIRON* R_LIBS* JULIA_* GUILE_* OCAML* " +
			"CAML_* GHCRTS EMACS* SBCL_*"},
		{"a compiler or make", "MAKEFLAGS MFLAGS GNUMAKEFLAGS MAKEFILES CC CXX CPP GCC_* COMPILER_PATH " +
			"LIBRARY_PATH CPATH C_INCLUDE_PATH CPLUS_INCLUDE_PATH CFLAGS CXXFLAGS CPPFLAGS LDFLAGS PKG_CONFIG* " +
			"CMAKE_* CONFIG_SHELL CONFIG_SITE"},
		{"apt or dpkg", "APT_* DPKG_* DEBCONF_* RPM_*"},
		{"systemd", "SYSTEMD_* DBUS_* NOTIFY_SOCKET LISTEN_FDS LISTEN_PID LISTEN_FDNAMES"},
		{"git", "GIT_* SVN_* HG HGRCPATH HGEDITOR CVS_RSH"},
		{"ssh or rsync", "SSH_* RSYNC_* RSH KRB5*"},
		{"curl or wget", "CURL_* WGETRC WGET_* NETRC"},
		{"a TLS library", "SSL_CERT_* SSLKEYLOGFILE OPENSSL_* GNUTLS_* NSS_* P11_KIT_* PKCS11_* " +
			"REQUESTS_CA_BUNDLE AWS_CA_BUNDLE GNUPGHOME GPG_*"},
		{"a cloud client", "AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE AWS_DATA_PATH AWS_PAGER BOTO_* " +
			"CLOUDSDK_PYTHON* CLOUDSDK_CONFIG"},
		{"a database client", "PG* MYSQL_HOME MYSQL_TEST_LOGIN_FILE MYSQL_GROUP_SUFFIX MYSQL_HISTFILE LIBMYSQL_* " +
			"MARIADB_PLUGIN* ODBCINI ODBCSYSINI ODBCINSTINI ORACLE_* TNS_ADMIN"},
		{"a container tool", "DOCKER_* BUILDKIT_* CONTAINER_HOST CONTAINERS_* PODMAN_* KUBECONFIG HELM_*"},
		{"a provisioning tool", "ANSIBLE_* TF_CLI_* TF_PLUGIN* TF_DATA_DIR"},
		{"an archiver", "TAR_OPTIONS TAPE GZIP BZIP BZIP2 XZ_* ZSTD_* UNZIP UNZIPOPT ZIPOPT ZIPINFO ZIPINFOOPT"},
		{"the network tools", "XTABLES_* IPTABLES_* TC_LIB_DIR"},
		{"a pager or editor", "LESS* MORE MOST_* PAGER MANPAGER MANOPT EDITOR VISUAL SUDO_* ASKPASS BROWSER VIM* " +
			"VIMINIT MYVIMRC EXINIT NEXINIT SELECTED_EDITOR GREP_OPTIONS"},
		{"a terminal library", "TERMINFO* TERMCAP TERMPATH"},
		{"a desktop library", "XDG_* GIO_* GTK_* GDK_* GI_* GSETTINGS_* QT_* MAGIC"},
	}
}
