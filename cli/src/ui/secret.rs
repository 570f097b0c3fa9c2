//! Asks a person for a PIN on the terminal itself, without showing it: what comes through a pipe, an argument or the
//! environment can be read by the programs that a PIN is to be kept from.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};

use fedp2p_protocols::limits::MAX_PIN_BYTES;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::error::Error;

/// Turns the echo of a terminal on again, however its user leaves.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn on(terminal: &'a File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _restored = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// Asks on the terminal of this process.
///
/// # Errors
/// If there is none, or nothing is typed.
pub(crate) fn ask(prompt: &str) -> Result<String, Error> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").map_err(|_| {
        Error::usage(
            "there is no terminal to ask for the PIN on",
            "run it in a terminal, or give the PIN with --pin-stdin",
        )
    })?;
    let read = || -> io::Result<String> {
        (&terminal).write_all(prompt.as_bytes())?;
        let silence = Silence::on(&terminal)?;
        let line = first_line(&terminal);
        drop(silence);
        (&terminal).write_all(b"\n")?;
        line
    };
    given(read().map_err(Error::system("ask on the terminal"))?)
}

/// Reads a PIN from the next line of `input`.
///
/// # Errors
/// If it cannot be read or is empty.
pub(crate) fn next(input: &mut impl BufRead) -> Result<String, Error> {
    given(line(input).map_err(Error::system("read the PIN from stdin"))?)
}

fn first_line(terminal: &File) -> io::Result<String> {
    line(&mut BufReader::new(terminal))
}

fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    input.take(MAX_PIN_BYTES as u64 + 2).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

fn given(pin: String) -> Result<String, Error> {
    if pin.is_empty() { Err(Error::usage("no PIN was given", "type it, and end it with return")) } else { Ok(pin) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_stdin_is_one_pin() {
        let mut input = io::Cursor::new(b"correct horse\nbattery\r\n\n".to_vec());
        assert_eq!(next(&mut input).unwrap(), "correct horse");
        assert_eq!(next(&mut input).unwrap(), "battery");
        assert!(next(&mut input).is_err());
    }
}
