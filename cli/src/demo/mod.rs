//! Three daemons that play the whitepaper.
