"""Installed somewhere, packaged into a DESTDIR, or as a subproject: a program builds and runs."""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, case, main

PROGRAM = """#include <minihttp.h>
#include <stdio.h>
int main(void)
{
    char date[MH_DATE_LEN + 1];
    if (mh_date_format(date, 0) != MH_DATE_LEN || mh_get_once("no URL", date, 1) != MH_ERR_URL)
        return 1;
    return printf("%s, %s\\n", mh_version(), date) < 0;
}
"""
EXPECTED = "0.1.0, Thu, 01 Jan 1970 00:00:00 GMT\n"
WRAPPER = """project('wrapper', 'c', default_options: ['c_std=c11'])
executable('program', 'program.c', dependencies: dependency('minihttp', fallback: 'minihttp'))
"""
HOME = tempfile.TemporaryDirectory()
BUILD, PREFIX = HOME.name + "/build", HOME.name + "/usr"


def run(*command, **env):
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)
    return path


def installed(top):
    return sorted(os.path.relpath(os.path.join(folder, name), top)
                  for folder, _, names in os.walk(top) for name in names)


def pkg_config(*arguments):
    path = PREFIX + "/lib/pkgconfig"
    return run("pkg-config", *arguments, "minihttp", PKG_CONFIG_PATH=path).split()


@case("meson setup, compile, install")
def _():
    run("meson", "setup", BUILD, SOURCE, "--prefix", PREFIX, "--libdir", "lib",
        "-Ddefault_library=both", "-Dbuildtype=release")
    run("meson", "compile", "-C", BUILD)
    run("meson", "install", "-C", BUILD, "--no-rebuild")


@case("what is installed")
def _():
    files = installed(PREFIX)
    for name in ["include/minihttp.h", "include/minihttp/h1.h", "lib/libminihttp.so",
                 "lib/libminihttp.so.0", "lib/libminihttp.a", "lib/pkgconfig/minihttp.pc",
                 "share/man/man1/simple_get.1", "share/man/man3/mh_get.3",
                 "share/man/man3/mh_get_once.3", "share/man/man7/minihttp.7"]:
        assert name in files, f"{name} is missing: {files}"
    assert not [name for name in files if "core" in name], files


@case("a page is found through its link")
def _():
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "error", "man3/mh_get_once.3"],
                          cwd=PREFIX + "/share/man", capture_output=True, text=True)
    text = run("sh", "-c", 'cd "$1" && mandoc -T ascii man3/mh_get_once.3 | col -b', "sh",
               PREFIX + "/share/man")
    assert done.returncode == 0 and "fetch a URL with one call" in text, done.stdout + text


@case("cc program.c $(pkg-config --cflags --libs minihttp)")
def _():
    source, program = write(HOME.name + "/shared/program.c", PROGRAM), HOME.name + "/shared/program"
    run("cc", "-o", program, source, *pkg_config("--cflags", "--libs"))
    assert run(program, LD_LIBRARY_PATH=PREFIX + "/lib") == EXPECTED
    assert "libminihttp.so.0" in run("readelf", "-d", program)


@case("the same with the static library")
def _():
    source, program = write(HOME.name + "/static/program.c", PROGRAM), HOME.name + "/static/program"
    libs = [flag for flag in pkg_config("--static", "--libs") if flag != "-lminihttp"]
    run("cc", "-o", program, source, *pkg_config("--cflags"), PREFIX + "/lib/libminihttp.a", *libs)
    assert run(program) == EXPECTED
    assert "libminihttp" not in run("readelf", "-d", program)


@case("as C++")
def _():
    text = ('#include <minihttp.h>\n#include <cstring>\nint main() '
            '{ return std::strcmp(mh_version(), "0.1.0"); }\n')
    source, program = write(HOME.name + "/cxx/program.cc", text), HOME.name + "/cxx/program"
    run("g++", "-std=c++17", "-o", program, source, *pkg_config("--cflags", "--libs"))
    run(program, LD_LIBRARY_PATH=PREFIX + "/lib")


@case("into a DESTDIR")
def _():
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", HOME.name + "/dest")
    assert installed(HOME.name + "/dest" + PREFIX) == installed(PREFIX)


@case("as a subproject")
def _():
    wrapper = HOME.name + "/wrapper"
    write(wrapper + "/meson.build", WRAPPER)
    write(wrapper + "/program.c", PROGRAM)
    os.makedirs(wrapper + "/subprojects")
    os.symlink(SOURCE, wrapper + "/subprojects/minihttp")
    run("meson", "setup", "--force-fallback-for=minihttp", wrapper + "/build", wrapper)
    run("meson", "compile", "-C", wrapper + "/build")
    assert run(wrapper + "/build/program") == EXPECTED


try:
    main()
finally:
    HOME.cleanup()
