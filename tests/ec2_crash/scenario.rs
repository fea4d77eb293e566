//! What is asked for, and one trouble on the way.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::atomic::{AtomicUsize, Ordering},
};

use ec2_double::state::Settings;
use serde_json::json;

use crate::{
    counted::Memory,
    harness::{Choices, Fault, Life, Scene, Stage, Wish},
    steps::Crash,
};

/// What is tried with crashes.
pub struct Scenario {
    pub wishes: Vec<Wish>,
    pub settings: Settings,
    /// What the account is told first.
    pub controls: Vec<serde_json::Value>,
    /// How many machines are launched in all, and not one more.
    pub launched: usize,
    /// Most calls of AWS in all lives together.
    pub calls: u32,
    pub memory: Memory,
    pub choices: Choices,
    pub looks_for_intents: bool,
}

/// What is to go wrong.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// The controller ends.
    Crash(Crash),
    /// The next one ends, too.
    Crashes(Crash, Crash),
    /// The reply of that call of an action, from 0, is lost.
    LostReply(&'static str, u32),
}

impl Scenario {
    /// Runs it with a trouble; whether it came about, and how many calls there were.
    pub fn run(&self, trouble: Option<Trouble>) -> Result<(bool, BTreeMap<String, u32>), Fault> {
        let mut scene = Scene::new(self.settings.clone());
        (scene.memory, scene.looks_for_intents) = (self.memory, self.looks_for_intents);
        scene.choices = self.choices;
        if let Some(Trouble::LostReply(action, skip)) = trouble {
            let fault = json!({"action": action, "skip": skip, "fault": "lose-reply"});
            scene.account.control(json!({"mishap": fault}));
        }
        for control in &self.controls {
            scene.account.control(control.clone());
        }
        let done = AtomicUsize::new(0);
        let mut crashes = match trouble {
            Some(Trouble::Crash(crash)) => VecDeque::from([crash]),
            Some(Trouble::Crashes(first, second)) => VecDeque::from([first, second]),
            _ => VecDeque::new(),
        };
        let mut reached = false;
        loop {
            let life = scene.live(crashes.pop_front(), async |stage: &Stage<'_>| {
                while let Some(wish) = self.wishes.get(done.load(Ordering::SeqCst)) {
                    stage.fulfil(*wish).await?;
                    done.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            })?;
            match life {
                Life::Fulfilled => break,
                Life::Crashed(_) => reached = true,
            }
        }
        let launched = scene.account.launched();
        if launched != self.launched {
            return Err(Fault::Double(format!("{launched} were launched, and {} are needed", self.launched)));
        }
        let calls = scene.account.calls();
        let total: u32 = calls.values().sum();
        if total > self.calls {
            return Err(Fault::Busy(format!("{total} calls: {calls:?}")));
        }
        let lost = scene.account.stock().cloud.calls().iter().any(|call| call.lost);
        Ok((reached || lost, calls))
    }
}
