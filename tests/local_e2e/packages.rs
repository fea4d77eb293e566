//! Environments that are built from packages: by which installer, and what is left of a build that was cut short.

use std::{fs, path::PathBuf, process::Command};

use rustix::process::Pid;

use crate::{
    clients::computes,
    harness::{Home, Running, kill_9, lines_of, run, skipped, start, touch, until, with_home},
};

/// Makes an index of one package, whose build says that it has begun and goes on when it is told to. It
/// brings the Dask of this test's Python.
const INDEX: &str = "
import io, os, site, sys, tarfile
index, signs = sys.argv[1:]
backend = f'''
import os, time, zipfile
def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    with open({signs + '/building'!r}, 'a') as sign:
        sign.write(str(os.getpid()) + chr(10))
    while not os.path.exists({signs + '/go'!r}):
        time.sleep(0.05)
    name = 'slow-1.0-py3-none-any.whl'
    with zipfile.ZipFile(os.path.join(wheel_directory, name), 'w') as wheel:
        wheel.writestr('slow.pth', {site.getsitepackages()[0]!r})
        wheel.writestr('slow-1.0.dist-info/METADATA', 'Metadata-Version: 2.1\\\\nName: slow\\\\nVersion: 1.0\\\\n')
        wheel.writestr('slow-1.0.dist-info/WHEEL',
            'Wheel-Version: 1.0\\\\nGenerator: test\\\\nRoot-Is-Purelib: true\\\\nTag: py3-none-any\\\\n')
        wheel.writestr('slow-1.0.dist-info/RECORD',
            'slow.pth,,\\\\nslow-1.0.dist-info/METADATA,,\\\\nslow-1.0.dist-info/WHEEL,,\\\\nslow-1.0.dist-info/RECORD,,\\\\n')
    return name
'''
project = '''[build-system]
requires = []
build-backend = \"backend\"
backend-path = [\".\"]
[project]
name = \"slow\"
version = \"1.0\"
'''
with tarfile.open(index + '/slow-1.0.tar.gz', 'w:gz') as archive:
    for name, text in [('backend.py', backend), ('pyproject.toml', project),
                       ('PKG-INFO', 'Metadata-Version: 2.1\\nName: slow\\nVersion: 1.0\\n')]:
        member = tarfile.TarInfo('slow-1.0/' + name)
        member.size = len(text.encode())
        archive.addfile(member, io.BytesIO(text.encode()))
";

/// Makes the index, and a document whose environment is that package.
fn with_slow_package(home: &Home) -> PathBuf {
    let (index, signs) = (home.path("index"), home.path("work"));
    fs::create_dir(&index).unwrap();
    let mut make = home.program(home.interpreter());
    make.args(["-c", INDEX]).args([&index, &signs]);
    run(make).ok();
    home.document("demo", "workers: {replicas: 1, memory: 1GiB}\n  environment: {packages: [slow]}")
}

fn create(home: &Home, document: &PathBuf) -> Command {
    let mut command = home.crewcall(&["create", "-f", document.to_str().unwrap()]);
    for installer in ["PIP", "UV"] {
        command.env(format!("{installer}_NO_INDEX"), "1");
        command.env(format!("{installer}_FIND_LINKS"), home.path("index"));
    }
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").env("UV_CACHE_DIR", home.path("cache/uv"));
    command
}

/// A create in the middle of its `nth` installation, and the processes of that.
fn building(home: &Home, document: &PathBuf, nth: usize) -> (Running, Vec<Pid>) {
    let creating = start(create(home, document));
    let signs = home.path("work/building");
    until("a package that is being built", || (lines_of(&signs) == nth).then_some(()));
    let installers = installers(home);
    assert!(installers.len() >= 2, "an installer, and what builds the package: {installers:?}");
    (creating, installers)
}

/// Processes of installers.
fn installers(home: &Home) -> Vec<Pid> {
    let of_build = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains("CREWCALL_BUILD=")
    };
    let processes = home.processes().into_iter().map(|(pid, _)| pid).filter(|pid| of_build(*pid));
    processes.map(|pid| Pid::from_raw(pid).unwrap()).collect()
}

fn is_gone(process: Pid) -> bool {
    !fs::exists(format!("/proc/{}", process.as_raw_nonzero())).unwrap()
}

#[test]
fn a_controller_that_is_killed_while_it_installs_leaves_nothing_that_is_used_or_goes_on() {
    with_home(|home| {
        let document = with_slow_package(home);
        let (creating, installers) = building(home, &document, 1);
        kill_9(home.controller().unwrap());
        assert_ne!(creating.end().code, Some(0));
        until("the end of the installer itself", || is_gone(installers[0]).then_some(()));
        assert!(home.ok(&["list", "-o", "name"]).is_empty());

        let (creating, second) = building(home, &document, 2);
        for installer in installers {
            assert!(is_gone(installer), "process {installer:?} of the first installation goes on");
        }
        assert!(second.iter().all(|installer| !is_gone(*installer)), "those of the second live");
        touch(&home.path("work/go"));
        creating.end().ok();
        computes(home, "demo", 1);
    });
}

#[test]
fn a_command_that_is_killed_while_its_environment_is_built_ends_the_build() {
    with_home(|home| {
        let document = with_slow_package(home);
        let (creating, installers) = building(home, &document, 1);
        kill_9(creating.pid());
        creating.end();
        for installer in installers {
            until("the end of an installation that nobody waits for", || is_gone(installer).then_some(()));
        }
        assert!(home.ok(&["list", "-o", "name"]).is_empty());
        home.nothing_is_left();
        touch(&home.path("work/go"));
        run(create(home, &document)).ok();
        assert_eq!(lines_of(&home.path("work/building")), 2, "it was built anew");
        computes(home, "demo", 1);
    });
}

#[test]
fn two_commands_that_want_one_environment_build_it_once() {
    with_home(|home| {
        let document = with_slow_package(home);
        let (first, _) = building(home, &document, 1);
        let other =
            home.document("other", "workers: {replicas: 1, memory: 1GiB}\n  environment: {packages: [slow]}");
        let mut second = start(create(home, &other));
        second.until_printed("building an environment");
        touch(&home.path("work/go"));
        first.end().ok();
        second.end().ok();
        assert_eq!(lines_of(&home.path("work/building")), 1);
    });
}

#[test]
fn uv_installs_where_it_is_on_the_path() {
    let Some(uv) = std::env::var_os("CREWCALL_TEST_UV").map(PathBuf::from) else {
        return skipped("CREWCALL_TEST_UV names no uv");
    };
    with_home(|home| {
        let document = with_slow_package(home);
        touch(&home.path("work/go"));
        let mut command = create(home, &document);
        let folders = [uv.parent().unwrap(), home.interpreter().parent().unwrap()];
        let folders = folders.into_iter().chain(["/usr/bin", "/bin"].map(std::path::Path::new));
        command.env("PATH", std::env::join_paths(folders).unwrap());
        let outcome = run(command);
        let said = outcome.stderr.clone();
        outcome.ok();
        computes(home, "demo", 1);
        let environments = home.path("cache/environments");
        let configuration = crate::harness::below(&environments)
            .into_iter()
            .find(|path| path.ends_with("pyvenv.cfg"))
            .map(|path| fs::read_to_string(path).unwrap())
            .unwrap_or_default();
        assert!(configuration.contains("uv = "), "uv made it: {configuration}; {said}");

        let refused = home.document(
            "other",
            "workers: {replicas: 1, memory: 1GiB}\n  environment: {packages: [crewcall-no-such-package]}",
        );
        let mut command = create(home, &refused);
        let folders = [uv.parent().unwrap(), home.interpreter().parent().unwrap()];
        command.env("PATH", std::env::join_paths(folders).unwrap());
        let said = run(command).fails(7);
        assert!(said.contains("uv pip install failed"), "{said}");
        assert!(said.contains("crewcall-no-such-package"), "uv's own words: {said}");
    });
}
