//! Small things that all processes on one database have to know, each under a name.

use super::error::Error;
use super::{Store, again};

impl Store {
    /// What is kept under a name.
    ///
    /// # Errors
    /// [`Error::Gone`] or [`Error::Busy`].
    pub async fn fact(&self, key: &str) -> Result<Option<String>, Error> {
        again(|| async {
            let session = self.connections.session().await?;
            let sql = "SELECT value FROM facts WHERE key = $1";
            let row = session.row(sql, &[&key]).await?;
            Ok(row.map(|row| row.try_get(0)).transpose()?)
        })
        .await
    }

    /// Keeps something under a name.
    ///
    /// # Errors
    /// Those of every change.
    pub async fn set_fact(&self, key: &str, value: &str) -> Result<(), Error> {
        again(|| async {
            let mut session = self.connections.session().await?;
            let tx = session.begin().await?;
            let sql = "INSERT INTO facts VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            tx.rows(sql, &[&key, &value]).await?;
            tx.commit().await
        })
        .await
    }
}
