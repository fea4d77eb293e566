//! Environments that are built from packages: by which installer, and what is left of a build that was cut short.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Pid;

use crate::{
    clients::computes,
    harness::{
        Home, Running, below, is_gone, kill_9, lines_of, run, skipped, start, touch, until, until_gone,
        with_home,
    },
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

fn create(home: &Home, document: &Path) -> Command {
    let mut command = home.crewcall(&["create", "-f", document.to_str().unwrap()]);
    for installer in ["PIP", "UV"] {
        command.env(format!("{installer}_FIND_LINKS"), home.path("index"));
    }
    command.env("PIP_NO_INDEX", "1").env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    command.env("UV_OFFLINE", "1").env("UV_CACHE_DIR", home.path("cache/uv"));
    command
}

/// A create in the middle of its `nth` installation, and the processes of that.
fn building(home: &Home, document: &Path, nth: usize) -> (Running, Vec<Pid>) {
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

/// Checks that the second installation is under way and nothing of the first one, and lets it end.
fn is_built_anew(home: &Home, creating: Running, first: Vec<Pid>) {
    let signs = home.path("work/building");
    until("the package that is built anew", || (lines_of(&signs) == 2).then_some(()));
    for installer in first {
        assert!(is_gone(installer), "process {installer:?} of the first installation goes on");
    }
    assert!(!installers(home).is_empty());
    touch(&home.path("work/go"));
    creating.end().ok();
    computes(home, "demo", 1);
}

#[test]
fn a_controller_that_is_killed_while_it_installs_leaves_nothing_that_is_used_or_goes_on() {
    with_home(|home| {
        let document = with_slow_package(home);
        let (creating, installers) = building(home, &document, 1);
        kill_9(home.controller().unwrap());
        until_gone(installers[0]);
        // The same command asks the next controller.
        is_built_anew(home, creating, installers);
    });
}

#[test]
fn an_installation_whose_command_and_controller_were_killed_is_swept_by_the_next_create() {
    with_home(|home| {
        let document = with_slow_package(home);
        let (creating, installers) = building(home, &document, 1);
        let controller = home.controller().unwrap();
        kill_9(creating.pid());
        kill_9(controller);
        creating.end();
        assert!(home.ok(&["list", "-o", "name"]).is_empty());
        is_built_anew(home, start(create(home, &document)), installers);
    });
}

#[test]
fn a_command_that_is_killed_while_its_environment_is_built_changes_nothing_for_its_cluster() {
    with_home(|home| {
        let document = with_slow_package(home);
        let (creating, _) = building(home, &document, 1);
        kill_9(creating.pid());
        creating.end();
        let again = start(create(home, &document));
        touch(&home.path("work/go"));
        again.end().ok();
        assert_eq!(lines_of(&home.path("work/building")), 1, "the controller had gone on");
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
        let second = start(create(home, &other));
        until("the other command's installation", || {
            second.stderr().lines().any(|line| line.ends_with(" slow")).then_some(())
        });
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
        // Nothing but uv: a Python may lie beside it.
        fs::create_dir(home.path("tools")).unwrap();
        symlink(uv, home.path("tools/uv")).unwrap();
        let folders = [&home.path("tools"), home.interpreter().parent().unwrap(), Path::new("/usr/bin")];
        let path = std::env::join_paths(folders).unwrap();
        let mut command = create(home, &document);
        command.env("PATH", &path);
        let outcome = run(command);
        let said = outcome.stderr.clone();
        outcome.ok();
        computes(home, "demo", 1);
        let environments = home.path("cache/environments");
        let configuration = below(&environments)
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
        command.env("PATH", &path);
        let said = run(command).fails(7);
        assert!(said.contains("uv pip install failed"), "{said}");
        assert!(said.contains("crewcall-no-such-package"), "uv's own words: {said}");
    });
}
