//! `fedp2p down`.

use std::time::Duration;

use fedp2p_node::client::Client;
use fedp2p_protocols::api::down;

use crate::context::Context;
use crate::error::Error;

/// How long a daemon has to finish what it does.
const LIMIT: Duration = Duration::from_secs(15);

/// Stops the daemon and waits until it has stopped, so that the home is free when this returns. A daemon of another
/// version can be stopped too: that is how one gets rid of it.
pub(crate) async fn run(context: &Context) -> Result<(), Error> {
    let mut client = Client::connect_any_version(&context.home, context.caller.clone()).await?;
    let reply = client.call(down::Request {}).await?;
    if !client.closed(LIMIT).await {
        return Err(Error::NotYet {
            message: format!("the daemon (process {}) was told to stop but is still at work", reply.pid),
            hint: format!("look again with \"{} status\"", context.program),
        });
    }
    context.show::<down::Request>(&reply, |_| format!("stopped (process {})\n", reply.pid))
}
