//! A scheduler for tests: answers each operation with a value made beforehand, over plain TCP.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rmpv::Value;
use tokio::net::{TcpListener, TcpStream};

use super::{Bounds, SchedulerClient, Target, Transport, codec};

/// A map with string keys.
pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Map(pairs.into_iter().map(|(k, v)| (k.into(), v)).collect())
}

/// What was asked, in order.
pub type Requests = Arc<Mutex<Vec<Value>>>;

/// A client of a scheduler that gives these answers, and nil for every other operation.
pub async fn client<const N: usize>(answers: [(&str, Value); N]) -> (SchedulerClient, Requests) {
    let answers: BTreeMap<String, Value> =
        answers.into_iter().map(|(op, value)| (op.to_owned(), value)).collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = super::DaskAddress {
        transport: Transport::Tcp,
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
    };
    let requests = Requests::default();
    let record = Arc::clone(&requests);
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        serve(tcp, &answers, &record).await;
    });
    let bound = Duration::from_secs(15);
    let target = Target { address, credentials: None, bounds: Bounds { connect: bound, call: bound } };
    (SchedulerClient::connect(&target).await.unwrap(), requests)
}

async fn serve(mut tcp: TcpStream, answers: &BTreeMap<String, Value>, record: &Requests) {
    codec::write(&mut tcp, &codec::hello()).await.unwrap();
    codec::read(&mut tcp, 1 << 20).await.unwrap();
    while let Ok(request) = codec::read(&mut tcp, 1 << 20).await {
        let op = codec::field(&request, "op").and_then(Value::as_str).unwrap();
        let answer = answers.get(op).cloned().unwrap_or(Value::Nil);
        record.lock().unwrap().push(request.clone());
        codec::write(&mut tcp, &answer).await.unwrap();
    }
}
