//! What takes long: a spinner on a terminal, after a quarter of a second; plain lines elsewhere.

use std::io::Write;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is over sooner needs no progress.
const DELAY: Duration = Duration::from_millis(250);
const TICK: Duration = Duration::from_millis(100);

/// Something under way. Dropped, it disappears.
#[derive(Debug)]
pub struct Progress(Form);

#[derive(Debug)]
enum Form {
    Silent,
    Lines,
    Spinner {
        texts: Option<Sender<String>>,
        thread: Option<JoinHandle<()>>,
    },
}

impl Progress {
    pub(super) fn silent() -> Self {
        Self(Form::Silent)
    }

    pub(super) fn lines(text: String) -> Self {
        line(&text);
        Self(Form::Lines)
    }

    pub(super) fn spinner(text: String) -> Self {
        let (texts, receiver) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("progress".to_owned())
            .spawn(move || draw(text, &receiver));
        match thread {
            Ok(thread) => Self(Form::Spinner {
                texts: Some(texts),
                thread: Some(thread),
            }),
            Err(_) => Self::silent(),
        }
    }

    /// Says what is being done now.
    pub fn now(&self, text: impl Into<String>) {
        let text = text.into();
        match &self.0 {
            Form::Silent => {}
            Form::Lines => line(&text),
            // The thread can only have ended if the terminal is gone.
            Form::Spinner { texts, .. } => drop(texts.as_ref().map(|texts| texts.send(text))),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Form::Spinner { texts, thread } = &mut self.0 {
            drop(texts.take());
            if let Some(thread) = thread.take() {
                // It ends at once, having erased its line; a panic in it has been printed.
                let _ = thread.join();
            }
        }
    }
}

/// Draws until the other end is dropped.
fn draw(mut text: String, texts: &mpsc::Receiver<String>) {
    let deadline = std::time::Instant::now() + DELAY;
    loop {
        match texts.recv_timeout(deadline.saturating_duration_since(std::time::Instant::now())) {
            Ok(newer) => text = newer,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}");
    let bar = ProgressBar::new_spinner().with_message(text);
    let bar = match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    bar.enable_steady_tick(TICK);
    for text in texts {
        bar.set_message(text);
    }
    bar.finish_and_clear();
}

fn line(text: &str) {
    // Nothing can be done if nobody can be told.
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}
