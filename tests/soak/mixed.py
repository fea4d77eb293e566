"""Scenario: random scales, stops, kills and edits on several clusters at once.

Each cluster goes through episodes. A client holds results and computes; some actions hit the cluster; then
all values are compared. In a gentle episode nothing may be lost, computed again or blamed. In a violent one
(kill -9 of a worker, the scheduler or the host, or all workers told to stop at once) results may have to be
computed again and scattered objects may be lost, but no value may be wrong, and none missing while the
scheduler lives.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from world import Fault, World, until

ADVICE = "run the same `crewcall create` again"
KEEPS_FAILING = "failures in a row"
TRIES = 5
GROUP = "big"
MOST = 4
"""Workers per group."""


class Story:
    """One cluster and what happens to it.

    Args:
        world: Where it runs.
        name: Its name.
        seed: Everything random follows from it, except for the order in which threads run.
        deadline: `time.monotonic()` after which no episode begins.
    """

    def __init__(self, world: World, name: str, seed: int, deadline: float) -> None:
        self.world, self.name, self.deadline = world, name, deadline
        self.chance = random.Random(seed)
        self.spec: dict[str, Any] = {"workers": {"replicas": 2, "memory": "512MiB"}, "drainGrace": "20s"}
        self.client = world.client(name)
        self.ends_scheduler = False
        self.journal: list[str] = []
        self.gentle = [
            *[self.scale] * 4,
            *[self.stop_worker] * 4,
            *[self.edit] * 2,
            self.scale_adaptive,
            self.add_or_remove_group,
            self.scale_group,
            self.kill_controller,
            self.stop_controller,
            self.kill_fork_server,
            self.interrupt_scale,
            self.read,
        ]
        self.violent = [
            *[self.kill_worker] * 4,
            self.kill_host,
            self.kill_host_and_controller,
            self.kill_scheduler,
            self.stop_all_workers,
            *self.gentle[:8],
        ]

    def run(self) -> None:
        """Go through episodes until the deadline."""
        self.apply()
        self.world.count("clusters created")
        self.client.connect()
        while time.monotonic() < self.deadline:
            if self.chance.random() < 0.6:
                self.episode(self.gentle, violent=False)
            else:
                self.episode(self.violent, violent=True)
            if self.chance.random() < 0.06:
                self.recreate()
        self.client.close()

    def note(self, text: str) -> None:
        """Remember what was done, for whoever reads a fault."""
        self.journal.append(f"{time.strftime('%H:%M:%S')} {self.name}: {text}")

    def episode(self, actions: list[Any], *, violent: bool) -> None:
        """Hold, act, compare."""
        self.ends_scheduler = False
        seed = self.chance.randrange(10**9)
        self.note(f"{'violent' if violent else 'gentle'} episode {seed}")
        for words in (("hold", seed), ("start", seed)):
            self.expect(self.client.ask(*words))
        for _ in range(self.chance.randint(1, 3)):
            time.sleep(self.chance.uniform(0.0, 1.0))
            self.chance.choice(actions)()
        if violent:
            self.apply()
        reports = [self.client.ask("finish"), self.client.ask("check")]
        if self.ends_scheduler:
            # What was held has gone with the scheduler. A new client begins anew; its values must be right.
            self.client.connect()
            for words in (("hold", seed + 1), ("start", seed + 1)):
                self.expect(self.client.ask(*words))
            reports = [self.client.ask("finish"), self.client.ask("check")]
        for report in reports:
            self.judge(report, violent=violent)
        self.world.count(f"{'violent' if violent else 'gentle'} episodes")

    def expect(self, answer: dict[str, Any]) -> None:
        """Fail on an answer that is an error."""
        if "error" in answer:
            raise Fault(f"{self.name}: {answer['error']}")

    def judge(self, report: dict[str, Any], *, violent: bool) -> None:
        """Compare a report with what may be."""
        self.expect(report)
        self.world.count("values compared with this machine's", report["checked"])
        self.world.count("scattered objects lost by force", report.get("scattered_lost", 0))
        self.world.count("results computed again after force", report.get("again", 0) if violent else 0)
        self.world.count("background tasks begun again", report.get("rerun", 0))
        if report["wrong"] or report["missing"]:
            raise Fault(f"{self.name}: wrong {report['wrong']}, missing {report['missing']}")
        if not violent:
            harm = {
                what: report.get(what, 0)
                for what in ("scattered_lost", "again", "suspicious")
                if report.get(what, 0)
            }
            if harm:
                raise Fault(f"{self.name}: after nothing but gentle actions: {harm}")

    # --- Sizes and edits ------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> None:
        """Type a command and remember it."""
        self.note("crewcall " + " ".join(arguments))
        for _ in range(TRIES):
            try:
                self.world.crewcall(*arguments)
                return
            except Fault as fault:
                if ADVICE in str(fault) and arguments[0] == "scale":
                    # Controller and host died together, and with them the caller's variables.
                    self.apply()
                elif KEEPS_FAILING in str(fault):
                    # So we did, and it is tried again within seconds.
                    self.world.count("commands told that workers keep failing")
                else:
                    raise
        raise Fault(f"crewcall {' '.join(arguments)}: not after {TRIES} tries")

    def apply(self) -> None:
        """Bring the cluster to what its document says, and wait until it is."""
        self.command("create", "-f", self.world.document(self.name, self.spec))

    def scale(self) -> None:
        """Another fixed size."""
        size = self.chance.randint(1, MOST)
        self.spec["workers"] = {"memory": self.spec["workers"]["memory"], "replicas": size}
        self.command("scale", self.name, str(size))
        self.world.count("scale")

    def scale_adaptive(self) -> None:
        """A size that follows the work."""
        low = self.chance.randint(1, 2)
        sizes = {"min": low, "max": low + self.chance.randint(0, 2)}
        self.spec["workers"] = {"memory": self.spec["workers"]["memory"], **sizes}
        self.command("scale", self.name, "--min", str(sizes["min"]), "--max", str(sizes["max"]))
        self.world.count("scale --min --max")

    def scale_group(self) -> None:
        """Another size of the second group."""
        if GROUP not in self.spec.get("workerGroups", {}):
            return self.add_or_remove_group()
        size = self.chance.randint(0, 2)
        self.spec["workerGroups"][GROUP]["replicas"] = size
        self.command("scale", self.name, str(size), "--group", GROUP)
        self.world.count("scale --group")
        return None

    def add_or_remove_group(self) -> None:
        """A group more, or one less."""
        groups = self.spec.setdefault("workerGroups", {})
        if GROUP in groups:
            del groups[GROUP]
        else:
            groups[GROUP] = {"replicas": 1, "memory": "512MiB", "resources": {"BIG": 1}}
        self.apply()
        self.world.count("edit: group added or removed")

    def edit(self) -> None:
        """Another template: each worker is replaced, one new before one old."""
        what = self.chance.choice(["memory", "env", "threads"])
        workers = self.spec["workers"]
        if what == "memory":
            workers["memory"] = "640MiB" if workers["memory"] == "512MiB" else "512MiB"
        elif what == "env":
            workers["env"] = {"SOAK": str(self.chance.randrange(10**6))}
        else:
            workers["threads"] = 3 - workers.get("threads", 1)
        self.apply()
        self.world.count(f"edit: {what} of the workers")

    def interrupt_scale(self) -> None:
        """A command that is killed while it waits; what it asked for goes on."""
        size = self.chance.randint(1, MOST)
        self.note(f"scale {size}, killed")
        process = self.world.start("scale", self.name, str(size))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.chance.uniform(0.02, 0.5))
        process.kill()
        process.communicate()
        self.world.count("kill -9 command")
        self.scale()

    def read(self) -> None:
        """Verbs that only look."""
        for arguments in (["list"], ["describe", self.name], ["events", self.name], ["gc", "--dry-run"]):
            self.world.crewcall(*arguments)

    def recreate(self) -> None:
        """Delete, and create under the same name."""
        self.client.close()
        self.command("delete", self.name)
        self.world.count("clusters deleted")
        self.apply()
        self.world.count("clusters created")
        self.client.connect()

    # --- Processes ------------------------------------------------------------------------------------------

    def workers(self) -> list[tuple[str, int]]:
        """Return the workers that take work: name and process."""
        found = []
        for node in self.world.view(self.name)["nodes"]:
            if node["role"] == "worker" and node["state"] == "Ready" and node["address"]:
                pid = self.world.node(node["address"])
                if pid:
                    found.append((node["name"], pid))
        return found

    def ended(self, pid: int, what: str, bound: float = 60) -> None:
        """Wait for the end of a process."""
        until(f"the end of {what}", lambda: pid not in self.world.processes(), bound)

    def stop_worker(self) -> None:
        """SIGTERM, as an administrator or a spot notice would send it, while somebody can take the data."""
        workers = self.workers()
        if len(workers) < 2:
            return self.scale()
        name, pid = self.chance.choice(workers)
        self.note(f"SIGTERM {name}")
        if self.world.kill(pid, "SIGTERM worker", signal.SIGTERM):
            self.ended(pid, f"{name} after SIGTERM")
        return None

    def stop_all_workers(self) -> None:
        """SIGTERM to all at once: they end within their grace whatever they hold."""
        workers = self.workers()
        self.note(f"SIGTERM to all of {workers}")
        for _, pid in workers:
            self.world.kill(pid, "SIGTERM worker", signal.SIGTERM)
        for name, pid in workers:
            self.ended(pid, f"{name} after SIGTERM")
        self.world.count("SIGTERM to all workers at once")

    def kill_worker(self) -> None:
        """Kill -9 of one worker."""
        workers = self.workers()
        if workers:
            name, pid = self.chance.choice(workers)
            self.note(f"kill -9 {name}")
            self.world.kill(pid, "kill -9 worker")

    def kill_scheduler(self) -> None:
        """Kill -9 of the scheduler: all results are lost, and the cluster comes back."""
        address = self.world.view(self.name)["endpoint"]
        pid = address and self.world.node(address)
        if pid:
            self.note("kill -9 scheduler")
            self.ends_scheduler |= self.world.kill(pid, "kill -9 scheduler")

    def kill_host(self) -> None:
        """Kill -9 of the host, with which everything of the cluster ends."""
        for pid in self.world.hosts().get(self.name, []):
            self.note("kill -9 host")
            self.ends_scheduler |= self.world.kill(pid, "kill -9 host")

    def kill_host_and_controller(self) -> None:
        """Both at once: the cluster needs its caller again."""
        self.world.kill_controller()
        self.kill_host()

    def kill_controller(self) -> None:
        """Kill -9 of the controller; nothing may notice."""
        self.note("kill -9 controller")
        self.world.kill_controller()
        self.world.crewcall("list")

    def stop_controller(self) -> None:
        """End the controller as a person would."""
        self.note("controller stop")
        with self.world.ending_controller():
            self.world.crewcall("controller", "stop")
        self.world.count("controller stop")
        self.world.crewcall("list")

    def kill_fork_server(self) -> None:
        """Kill -9 of the host's first child; running nodes do not notice, later ones come from the next."""
        for host in self.world.hosts().get(self.name, []):
            children = []
            for pid, command in self.world.processes().items():
                with contextlib.suppress(OSError, IndexError):
                    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
                    if fields[1] == str(host) and "crewcall_fork_server" in command:
                        children.append((int(fields[19]), pid))
            # The oldest child, unless it was killed before: then the youngest is a node or the new one.
            listening = {pid for _, pid in self.workers()}
            address = self.world.view(self.name)["endpoint"]
            listening.add((address and self.world.node(address)) or 0)
            silent = [pid for _, pid in sorted(children) if pid not in listening]
            if len(silent) == 1:
                self.note("kill -9 fork server")
                self.world.kill(silent[0], "kill -9 fork server")


def watch(world: World, over: threading.Event, faults: list[str]) -> None:
    """Look for doubles: a cluster never has two hosts, and there are never two controllers for long."""
    two_controllers = 0
    while not over.wait(0.3):
        for cluster, pids in world.hosts().items():
            if len(pids) > 1:
                faults.append(f"cluster {cluster} has {len(pids)} hosts: {pids}")
        # One that takes over may wait for the lock while the other one ends.
        two_controllers = two_controllers + 1 if len(world.controllers()) > 1 else 0
        if two_controllers > 60:
            faults.append(f"controllers {world.controllers()} live side by side")
        world.count("looks for doubles")


def play(world: World, seed: int, seconds: float, clusters: int = 3) -> list[str]:
    """Run the scenario and return its faults."""
    faults: list[str] = []
    over = threading.Event()
    deadline = time.monotonic() + seconds
    stories = [Story(world, f"soak{number}", seed * 10 + number, deadline) for number in range(clusters)]

    def tell(story: Story) -> None:
        try:
            story.run()
        except Exception as error:
            faults.append("\n".join([f"{type(error).__name__}: {error}", *story.journal[-25:]]))
            # The others need not go on for twenty minutes.
            for other in stories:
                other.deadline = 0

    threads = [threading.Thread(target=tell, args=(story,)) for story in stories]
    watcher = threading.Thread(target=watch, args=(world, over, faults))
    for thread in [*threads, watcher]:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    watcher.join()
    return faults
