//! The rows of the ledger by their names: opened, listed, renamed.

use mysql_async::Error;
use mysql_async::prelude::Queryable;
use record::Position;

use super::Context;
use super::failure::Failure;
use super::link::Link;
use super::transaction::Opened;
use crate::{ErrorKind, OpenScope, ScopeName, WriteError};

const DUPLICATE: u16 = 1062;

/// Opens a scope under the next fence.
pub(super) async fn open(
    link: &mut Link,
    context: &Context,
    name: &ScopeName,
) -> Result<(Opened, OpenScope), Failure> {
    let row = match open_once(link, context, name).await {
        // Somebody else has made it meanwhile.
        Err(Error::Server(error)) if error.code == DUPLICATE => {
            let undone = link.conn.query_drop("ROLLBACK").await;
            undone.map_err(|error| failed(context, name, &error))?;
            open_once(link, context, name).await
        }
        row => row,
    };
    let (id, fence, position) = row.map_err(|error| failed(context, name, &error))?;
    let opened = Opened {
        name: name.clone(),
        id,
        fences: vec![fence],
        session: link.session,
        acknowledged: Position::new(position.cast_unsigned()),
    };
    let scope = OpenScope::new(
        Position::new(position.cast_unsigned()),
        fence.cast_unsigned(),
    );
    Ok((opened, scope))
}

fn failed(context: &Context, name: &ScopeName, error: &Error) -> Failure {
    Failure::of(&format!("open scope `{name}` in"), &context.options, error)
}

async fn open_once(
    link: &mut Link,
    context: &Context,
    name: &ScopeName,
) -> Result<(i64, i64, i64), Error> {
    let (ledger, literal) = (&context.names.ledger, literal(name.as_str()));
    link.conn.query_drop("START TRANSACTION").await?;
    let sql = format!("SELECT id, fence, position FROM `{ledger}` WHERE scope = {literal}");
    let held: Option<(i64, i64, i64)> = link.conn.query_first(sql + " FOR UPDATE").await?;
    let row = match held {
        Some((id, fence, position)) => {
            let fence = fence.saturating_add(1);
            let sql = format!(
                "UPDATE `{ledger}` SET fence = {fence}, updated_at = UTC_TIMESTAMP(6)
                 WHERE id = {id}"
            );
            link.conn.query_drop(sql).await?;
            (id, fence, position)
        }
        None => {
            let sql = format!(
                "INSERT INTO `{ledger}` (scope, fence, position, batch, hash, updated_at)
                 VALUES ({literal}, 1, 0, 0, 0, UTC_TIMESTAMP(6))"
            );
            link.conn.query_drop(sql).await?;
            let id = link.conn.last_insert_id().unwrap_or_default();
            (id.cast_signed(), 1, 0)
        }
    };
    link.conn.query_drop("COMMIT").await?;
    Ok(row)
}

/// The scopes whose names begin with `prefix`, in the order in which they were first opened.
pub(super) async fn list(
    link: &mut Link,
    context: &Context,
    prefix: &str,
) -> Result<Vec<(ScopeName, Position)>, Failure> {
    let sql = format!(
        "SELECT scope, position FROM `{}` WHERE LEFT(scope, {}) = {} ORDER BY id",
        context.names.ledger,
        prefix.len(),
        literal(prefix)
    );
    let found = link
        .conn
        .query_map(sql, |(name, position): (Vec<u8>, i64)| {
            let name = String::from_utf8_lossy(&name).into_owned();
            (
                ScopeName::new(name),
                Position::new(position.cast_unsigned()),
            )
        })
        .await;
    found.map_err(|error| Failure::of("list the scopes of", &context.options, &error))
}

/// Gives a scope another name.
pub(super) async fn rename(
    link: &mut Link,
    context: &Context,
    from: &ScopeName,
    to: &ScopeName,
) -> Result<(), Failure> {
    let sql = format!(
        "UPDATE `{}` SET scope = {} WHERE scope = {}",
        context.names.ledger,
        literal(to.as_str()),
        literal(from.as_str())
    );
    match link.conn.query_drop(sql).await {
        Err(Error::Server(error)) if error.code == DUPLICATE => {
            let options = &context.options;
            let message =
                format!("cannot rename scope `{from}` of {options}: there is a scope `{to}`");
            Err(Failure::sound(WriteError::new(ErrorKind::Fatal, message)))
        }
        done => done.map_err(|error| Failure::of("rename a scope of", &context.options, &error)),
    }
}

/// A text as a literal of its bytes, in which nothing has to be escaped.
fn literal(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}
