//! An API server with faults: a proxy between the program and the real one, which answers as a test says.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::{sleep, spawn},
    time::{Duration, Instant},
};

/// How long what a test waits for may take.
const BOUND: Duration = Duration::from_mins(2);

const LOOK: Duration = Duration::from_millis(20);

/// A call as the API server counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub verb: &'static str,
    /// With its subresource, such as `pods/log`.
    pub resource: String,
    pub name: String,
    /// Which of its verb on its resource, from 1 on.
    pub nth: usize,
    at: Instant,
    /// What was answered; 0: nothing.
    pub status: u16,
}

/// What becomes of a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is answered so, and goes no further.
    Answer(u16, &'static str),
    /// It is done, and nobody hears of it.
    DropReply,
    /// It is answered as it was the first time.
    Stale,
}

type Rule = Box<dyn FnMut(&Asked) -> Fault + Send>;

struct Shared {
    upstream: u16,
    rule: Mutex<Rule>,
    asked: Mutex<Vec<Asked>>,
    answers: Mutex<BTreeMap<String, Vec<u8>>>,
    silent_until: Mutex<Option<Instant>>,
    streams: Mutex<Vec<TcpStream>>,
    watches: Mutex<Vec<TcpStream>>,
}

/// The proxy, and the program that has the credentials.
pub struct Faulty {
    port: u16,
    shared: Arc<Shared>,
    credentials: Child,
}

impl Drop for Faulty {
    fn drop(&mut self) {
        let _ = self.credentials.kill();
        let _ = self.credentials.wait();
    }
}

impl Faulty {
    /// Each pod was made once, and none was replaced.
    pub fn no_doubles(&self) {
        let mut made: BTreeMap<String, usize> = BTreeMap::new();
        for asked in self.asked() {
            if (asked.verb, asked.resource.as_str(), asked.status) == ("create", "pods", 201) {
                *made.entry(asked.name).or_default() += 1;
            }
        }
        let expected = ["demo-scheduler-0-0", "demo-workers-0-0", "demo-workers-1-0", "demo-workers-2-0"];
        assert_eq!(made.keys().collect::<Vec<_>>(), expected);
        assert!(made.values().all(|count| *count == 1), "{made:?}");
    }

    /// Before the API server of that kubeconfig.
    pub fn before(administrator: &Path) -> Self {
        let program = std::env::var_os("CREWCALL_TEST_KUBECTL").unwrap_or_else(|| "kubectl".into());
        let mut command = Command::new(program);
        command.arg("--kubeconfig").arg(administrator).args(["proxy", "--port=0"]);
        let mut credentials = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(credentials.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let upstream = line.trim().rsplit_once(':').unwrap().1.parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream,
            rule: Mutex::new(Box::new(|_| Fault::None)),
            asked: Mutex::default(),
            answers: Mutex::default(),
            silent_until: Mutex::default(),
            streams: Mutex::default(),
            watches: Mutex::default(),
        });
        let serving = shared.clone();
        spawn(move || {
            for near in listener.incoming().flatten() {
                let shared = serving.clone();
                spawn(move || shared.serve(near));
            }
        });
        Self { port, shared, credentials }
    }

    /// A kubeconfig that leads here.
    pub fn kubeconfig(&self) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: faulty\nusers: []\n\
             clusters: [{{name: c, cluster: {{server: 'http://127.0.0.1:{}'}}}}]\n\
             contexts: [{{name: faulty, context: {{cluster: c, user: ''}}}}]\n",
            self.port
        )
    }

    /// Decides from now on what becomes of calls.
    pub fn rule(&self, rule: impl FnMut(&Asked) -> Fault + Send + 'static) {
        *self.shared.rule.lock().unwrap() = Box::new(rule);
    }

    /// Says and passes on nothing for so long, and keeps all connections open.
    pub fn be_silent(&self, long: Duration) {
        *self.shared.silent_until.lock().unwrap() = Some(Instant::now() + long);
    }

    /// Ends every connection that is carried through, as a router would that has lost its memory.
    pub fn cut_streams(&self) {
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Ends every watch.
    pub fn cut_watches(&self) {
        for stream in self.shared.watches.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// All calls so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// How many of these calls there were.
    pub fn count(&self, which: impl Fn(&Asked) -> bool) -> usize {
        self.asked().iter().filter(|asked| which(asked)).count()
    }

    /// How long there have been calls, in seconds.
    pub fn seconds(&self) -> usize {
        let first = self.asked().first().map_or(0, |asked| asked.at.elapsed().as_secs());
        usize::try_from(first).unwrap()
    }

    /// The most calls within one second.
    pub fn busiest_second(&self) -> usize {
        let times: Vec<Instant> = self.asked().iter().map(|asked| asked.at).collect();
        let within = |start: &Instant| {
            times.iter().filter(|at| *at >= start && at.duration_since(*start).as_secs() < 1).count()
        };
        times.iter().map(within).max().unwrap_or(0)
    }

    /// Calls by verb and resource, for whoever reads of a failure.
    pub fn table(&self) -> BTreeMap<String, usize> {
        let mut table = BTreeMap::new();
        for asked in self.asked() {
            *table.entry(format!("{} {} {}", asked.verb, asked.resource, asked.status)).or_default() += 1;
        }
        table
    }

    /// Waits until a call like this was made.
    pub fn until_asked(&self, what: &str, which: impl Fn(&Asked) -> bool) {
        let begun = Instant::now();
        while self.count(&which) == 0 {
            assert!(begun.elapsed() < BOUND, "{what} did not come within {} s", BOUND.as_secs());
            sleep(LOOK);
        }
    }
}

struct Head {
    verb: &'static str,
    resource: String,
    name: String,
    target: String,
    length: usize,
    upgrade: bool,
    text: String,
}

/// Reads up to the empty line; `None` when the connection ended.
fn read_head(near: &mut TcpStream) -> Option<Head> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        if near.read(&mut byte).ok()? == 0 {
            return None;
        }
        bytes.push(byte[0]);
    }
    let text = String::from_utf8(bytes).unwrap();
    let mut words = text.split(' ');
    let (method, target) = (words.next()?, words.next()?.to_owned());
    let field = |name: &str| {
        text.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let parts: Vec<&str> = path.split('/').skip_while(|part| *part != "namespaces").skip(2).collect();
    let resource = match &parts[..] {
        [] => path.rsplit('/').next().unwrap_or_default().to_owned(),
        [resource, _, sub] => format!("{resource}/{sub}"),
        [resource, ..] => (*resource).to_owned(),
    };
    let name = parts.get(1).copied().unwrap_or_default().to_owned();
    let verb = match method {
        "POST" => "create",
        "DELETE" => "delete",
        "PATCH" => "patch",
        "PUT" => "update",
        _ if query.contains("watch=") => "watch",
        _ if name.is_empty() => "list",
        _ => "get",
    };
    let length = field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let upgrade = field("upgrade").is_some();
    Some(Head { verb, resource, name, target, length, upgrade, text })
}

/// The name of the object that is to be made.
fn name_in(body: &[u8]) -> Option<String> {
    let object: serde_json::Value = serde_json::from_slice(body).ok()?;
    object.pointer("/metadata/name")?.as_str().map(str::to_owned)
}

impl Shared {
    /// One call; the connection is for no other.
    fn serve(self: &Arc<Self>, mut near: TcpStream) -> Option<()> {
        let head = read_head(&mut near)?;
        let mut body = vec![0; head.length];
        near.read_exact(&mut body).ok()?;
        self.wait_for_a_word();
        let mut name =
            if head.verb == "create" { name_in(&body).unwrap_or_default() } else { head.name.clone() };
        if head.target.contains("dryRun") {
            name.push_str(" (dry run)");
        }
        let (number, asked) = self.note(&head, name);
        let fault = (self.rule.lock().unwrap())(&asked);
        match fault {
            Fault::Answer(status, more) => {
                self.asked.lock().unwrap()[number].status = status;
                near.write_all(answer(status, more).as_bytes()).ok()
            }
            Fault::Stale if self.answers.lock().unwrap().contains_key(&head.target) => {
                let known = self.answers.lock().unwrap()[&head.target].clone();
                near.write_all(&known).ok()
            }
            Fault::None | Fault::DropReply | Fault::Stale => {
                let mut far = TcpStream::connect(("127.0.0.1", self.upstream)).ok()?;
                let text = if head.upgrade {
                    head.text.clone()
                } else {
                    head.text.replacen("\r\n", "\r\nconnection: close\r\n", 1)
                };
                far.write_all(text.as_bytes()).ok()?;
                far.write_all(&body).ok()?;
                if matches!(fault, Fault::DropReply) {
                    let mut unheard = Vec::new();
                    far.read_to_end(&mut unheard).ok()?;
                    self.asked.lock().unwrap()[number].status = status_in(&unheard);
                    return near.shutdown(Shutdown::Both).ok();
                }
                if head.upgrade {
                    let (mut from, mut to) = (near.try_clone().ok()?, far.try_clone().ok()?);
                    self.streams.lock().unwrap().push(near.try_clone().ok()?);
                    let shared = self.clone();
                    spawn(move || pump(&mut from, &mut to, || shared.wait_for_a_word(), |_| {}));
                }
                if head.verb == "watch" {
                    self.watches.lock().unwrap().push(near.try_clone().ok()?);
                }
                let (mut first, mut all) = (true, Vec::new());
                let keep = head.verb == "list";
                let ended = pump(
                    &mut far,
                    &mut near,
                    || self.wait_for_a_word(),
                    |bytes| {
                        if std::mem::take(&mut first) {
                            self.asked.lock().unwrap()[number].status = status_in(bytes);
                        }
                        if keep {
                            all.extend_from_slice(bytes);
                        }
                    },
                );
                if keep {
                    self.answers.lock().unwrap().entry(head.target).or_insert(all);
                }
                ended
            }
        }
    }

    fn note(&self, head: &Head, name: String) -> (usize, Asked) {
        let mut all = self.asked.lock().unwrap();
        let nth = 1 + all.iter().filter(|a| a.verb == head.verb && a.resource == head.resource).count();
        let at = Instant::now();
        let asked = Asked { verb: head.verb, resource: head.resource.clone(), name, nth, at, status: 0 };
        all.push(asked.clone());
        (all.len() - 1, asked)
    }

    fn wait_for_a_word(&self) {
        while self.silent_until.lock().unwrap().is_some_and(|until| Instant::now() < until) {
            sleep(LOOK);
        }
    }
}

/// Carries bytes until one end has no more.
fn pump(from: &mut TcpStream, to: &mut TcpStream, wait: impl Fn(), mut see: impl FnMut(&[u8])) -> Option<()> {
    let mut bytes = [0; 16 * 1024];
    loop {
        let count = from.read(&mut bytes).unwrap_or(0);
        wait();
        see(&bytes[..count]);
        if count == 0 || to.write_all(&bytes[..count]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            return to.shutdown(Shutdown::Both).ok();
        }
    }
}

fn status_in(reply: &[u8]) -> u16 {
    let line = String::from_utf8_lossy(reply);
    line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn answer(status: u16, more: &str) -> String {
    let body = if status == 200 {
        // Of a watch: what it continues from is not known any more.
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\
         \"status\":\"Failure\",\"message\":\"too old resource version\",\"reason\":\"Expired\",\"code\":410}}\n"
            .to_owned()
    } else {
        format!(
            "{{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{{}},\"status\":\"Failure\",\
             \"message\":\"the test says {status}\",\"reason\":\"Test\",\"code\":{status}}}"
        )
    };
    format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\
         {more}\r\n{body}",
        body.len()
    )
}
