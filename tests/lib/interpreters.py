#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Finds or provisions the interpreters of tests/interpreters.list.

    interpreters.py NAME            prints the command prefix that runs NAME, as a JSON array
    interpreters.py --info NAME     prints all that is known of it, as a JSON object
    interpreters.py --list [TIER]   prints the names of a tier (ci, full or all)

What is missing is fetched into $MIXPROF_CACHE (default: build/cache). Exit status 77 and one
sentence on standard error mean that this machine does not have the interpreter.

A Debian interpreter of another suite is unpacked, not installed: apt resolves the closure in a
state directory of its own, from the mirror that the machine itself uses, and dpkg unpacks it
into a root with its own libc. It is entered with chroot, as a container would be.
"""
import contextlib
import fcntl
import glob
import json
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
LIST = os.path.join(REPOSITORY, "tests", "interpreters.list")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SKIP_STATUS = 77


class Unavailable(Exception):
    """This machine does not have the interpreter; the message is the skip's reason."""


class Entry:
    """One line of the list."""

    def __init__(self, name, kind, source, version, tier):
        self.name, self.kind, self.source = name, kind, source
        self.version, self.tier = version, tier


class Interpreter:
    """An interpreter that can be run: argv outside, root it lives in, headers to compile with."""

    def __init__(self, name, argv, root, version, include_flags):
        self.name = name
        self.argv = argv
        self.root = root
        self.version = version
        self.include_flags = include_flags

    def place(self, purpose):
        """A directory for files it shall see: (path on the host, path as it sees it)."""
        if self.root == "/":
            outside = os.path.join(cache_directory(), "stage", self.name, purpose)
            inside = outside
        else:
            inside = os.path.join("/mixprof", purpose)
            outside = self.root + inside
        os.makedirs(outside, exist_ok=True)
        return outside, inside

    def build_extension(self, source, directory):
        """Compiles one C file into an extension module, with the host's compiler."""
        name = os.path.splitext(os.path.basename(source))[0]
        target = os.path.join(directory, name + ".so")
        partial = "%s.%d.tmp" % (target, os.getpid())
        command = [os.environ.get("CC", "gcc"), "-std=gnu17", "-O2", "-fomit-frame-pointer",
                   "-Wall", "-Wextra", "-Wno-unused-parameter", "-shared", "-fPIC", "-pthread",
                   "-s", *self.include_flags, source, "-o", partial]
        subprocess.run(command, check=True)
        os.rename(partial, target)
        return target


def cache_directory():
    """Where provisioned files live: outside of the repository's own files, kept between runs."""
    build = os.environ.get("BUILD") or os.path.join(REPOSITORY, "build")
    path = os.environ.get("MIXPROF_CACHE") or os.path.join(build, "cache")
    return os.path.abspath(path)


def read_list():
    """All entries, in the order of the file."""
    entries = []
    with open(LIST, encoding="utf-8") as lines:
        for line in lines:
            words = line.split("#")[0].split()
            if words:
                entries.append(Entry(*words))
    return entries


def find_entry(name):
    """The entry of that name."""
    for entry in read_list():
        if entry.name == name:
            return entry
    raise KeyError(name)


@contextlib.contextmanager
def locked(path):
    """Two test runs must not provision the same thing at once."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def os_release():
    """/etc/os-release as a dictionary."""
    values = {}
    with open("/etc/os-release", encoding="utf-8") as lines:
        for line in lines:
            key, separator, value = line.strip().partition("=")
            if separator:
                values[key] = value.strip('"')
    return values


def apt_sources():
    """Every (uri, suites, components) that apt knows, of both file formats."""
    one_line = re.compile(r"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$")
    for path in ["/etc/apt/sources.list", *glob.glob("/etc/apt/sources.list.d/*.list")]:
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                match = one_line.match(line.strip())
                if match:
                    yield match[1], [match[2]], match[3].split()
    for path in glob.glob("/etc/apt/sources.list.d/*.sources"):
        with open(path, encoding="utf-8") as file:
            stanzas = file.read().split("\n\n")
        for stanza in stanzas:
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.M))
            for uri in fields.get("URIs", "").split():
                yield uri, fields.get("Suites", "").split(), fields.get("Components", "").split()


def debian_mirror():
    """The mirror that serves this machine's own suite serves the others too."""
    release = os_release()
    codename = release.get("VERSION_CODENAME", "")
    if release.get("ID") != "debian":
        raise Unavailable("the machine is not a Debian, so it knows no Debian mirror")
    for uri, suites, components in apt_sources():
        if codename in suites and "main" in components:
            return uri.rstrip("/")
    raise Unavailable("apt's sources name no mirror for %s main" % codename)


class PrivateApt:
    """apt with its own state, cache and sources, blind to what the machine has installed."""

    def __init__(self, suite):
        self.directory = os.path.join(cache_directory(), "apt", suite)
        self.archives = os.path.join(self.directory, "cache", "archives")
        for part in ["state/lists/partial", "cache/archives/partial"]:
            os.makedirs(os.path.join(self.directory, part), exist_ok=True)
        with open(os.path.join(self.directory, "status"), "a", encoding="utf-8"):
            pass
        with open(os.path.join(self.directory, "sources.list"), "w", encoding="utf-8") as file:
            file.write("deb [signed-by=%s] %s %s main\n" % (KEYRING, debian_mirror(), suite))

    def run(self, *arguments):
        """Runs apt-get; its failure means the suite is out of reach."""
        here = self.directory
        command = ["apt-get", "-q", "-y",
                   "-o", "Dir::State=%s/state" % here,
                   "-o", "Dir::State::status=%s/status" % here,
                   "-o", "Dir::Cache=%s/cache" % here,
                   "-o", "Dir::Etc::sourcelist=%s/sources.list" % here,
                   "-o", "Dir::Etc::sourceparts=/dev/null",
                   "-o", "APT::Sandbox::User=root",
                   "-o", "APT::Install-Recommends=false",
                   "-o", "APT::Update::Post-Invoke::=true",
                   "-o", "Acquire::Retries=3", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              cwd=self.archives, text=True, check=False)
        if done.returncode != 0:
            last = done.stdout.strip().splitlines()[-1:] or ["no message"]
            raise Unavailable("apt-get %s failed: %s" % (arguments[0], last[0]))

    def fetch(self, *packages):
        """The packages and all that they depend on; returns the files."""
        before = set(glob.glob(self.archives + "/*.deb"))
        self.run("update")
        self.run("--download-only", "install", *packages)
        return sorted(set(glob.glob(self.archives + "/*.deb")) - before)

    def fetch_alone(self, package):
        """The package without its dependencies."""
        self.run("update")
        self.run("download", package)
        name = glob.escape(os.path.join(self.archives, package)) + "_*.deb"
        return glob.glob(name)[0]


def unpack(deb, directory):
    """Extracts a package; no maintainer script runs."""
    subprocess.run(["dpkg-deb", "-x", deb, directory], check=True)


def provision(path, fill):
    """Fills path once; a half-filled directory is never taken for a whole one."""
    with locked(path):
        if os.path.isdir(path):
            return path
        partial = path + ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        os.makedirs(partial)
        fill(partial)
        os.rename(partial, path)
    return path


def debian_root(suite, package):
    """A root directory that holds the package, its libc, and the headers beside it."""

    def fill(root):
        apt = PrivateApt(suite)
        shutil.rmtree(apt.archives)
        os.makedirs(apt.archives + "/partial")
        debs = apt.fetch("base-files", package)
        # base-files carries the links of a merged /usr, which the others expect to find.
        for deb in sorted(debs, key=lambda deb: not os.path.basename(deb).startswith("base-files_")):
            unpack(deb, root)
        unpack(apt.fetch_alone("lib%s-dev" % package), root)
        shutil.rmtree(apt.archives)

    if os.geteuid() != 0:
        raise Unavailable("entering another suite's root needs root rights")
    if not os.path.exists(KEYRING):
        raise Unavailable("the package debian-archive-keyring is not installed")
    return provision(os.path.join(cache_directory(), "roots", "%s-%s" % (suite, package)), fill)


def debian_headers(suite, package):
    """The directory above usr/include of the machine's own suite, installed or unpacked."""
    if os.path.exists("/usr/include/%s/Python.h" % package):
        return "/"

    def fill(directory):
        unpack(PrivateApt(suite).fetch_alone("lib%s-dev" % package), directory)

    return provision(os.path.join(cache_directory(), "headers", package), fill)


def debian_interpreter(entry):
    """The machine's own, or one in a root."""
    suite, package = entry.source.split(":")
    program = "/usr/bin/" + package
    if os_release().get("VERSION_CODENAME") == suite and os.path.exists(program):
        root, argv, headers = "/", [program], debian_headers(suite, package)
    else:
        root = headers = debian_root(suite, package)
        argv = ["chroot", root, program]
    # The root's libc headers must not come before the host compiler's own.
    flags = ["-I", os.path.join(headers, "usr/include", package)]
    if headers != "/":
        flags += ["-idirafter", os.path.join(headers, "usr/include")]
    return argv, root, flags


def pyenv_interpreter(entry):
    """The newest build that matches. The stub's own path, not a shim's."""
    parents = [os.environ.get("PYENV_ROOT", ""), os.path.expanduser("~/.pyenv")]
    for parent in filter(None, parents):
        found = glob.glob(os.path.join(parent, "versions", entry.source))
        found.sort(key=lambda path: [int(n) for n in re.findall(r"\d+", os.path.basename(path))])
        for version in reversed(found):
            program = os.path.join(version, "bin", "python" + entry.version)
            include = glob.glob(os.path.join(version, "include", "python%s*" % entry.version))
            if os.access(program, os.X_OK) and include:
                return [program], "/", ["-I", include[0]]
    raise Unavailable("no pyenv build of %s on this machine" % entry.version)


def find_interpreter(name):
    """Provisions NAME and proves that it runs and is what the list says."""
    entry = find_entry(name)
    find = {"debian": debian_interpreter, "pyenv": pyenv_interpreter}[entry.kind]
    argv, root, flags = find(entry)
    code = "import sys; print('%d.%d.%d' % sys.version_info[:3])"
    done = subprocess.run([*argv, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    version = done.stdout.strip()
    if not (version + ".").startswith(entry.version + "."):
        raise RuntimeError("%s is %s, not %s" % (name, version, entry.version))
    return Interpreter(name, argv, root, version, flags)


def names_of(tier):
    """ci: the ci lines, a spare one in place of each that is absent. full: those and all spares."""
    entries = read_list()
    if tier == "all":
        return [entry.name for entry in entries]
    if tier == "full":
        return [entry.name for entry in entries if entry.tier in ("ci", "spare", "full")]
    absent = 0
    for entry in entries:
        if entry.tier == "ci" and entry.kind == "pyenv":
            try:
                pyenv_interpreter(entry)
            except Unavailable:
                absent += 1
    spares = [entry.name for entry in entries if entry.tier == "spare"]
    return [entry.name for entry in entries if entry.tier == "ci"] + spares[:absent]


def main(arguments):
    """The command line."""
    if arguments[:1] == ["--list"]:
        print("\n".join(names_of(arguments[1] if len(arguments) > 1 else "all")))
        return 0
    names = [argument for argument in arguments if not argument.startswith("-")]
    if len(names) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        found = find_interpreter(names[0])
    except Unavailable as reason:
        print("%s: %s" % (names[0], reason), file=sys.stderr)
        return SKIP_STATUS
    except KeyError:
        print("%s is not in tests/interpreters.list" % names[0], file=sys.stderr)
        return 2
    print(json.dumps(vars(found) if "--info" in arguments else found.argv))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
