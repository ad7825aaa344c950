//! A copy of the control file as it is at one moment, beside whoever uses it.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::ControlError;

/// Writes the file as it is now to `to`, where nothing may be yet. The master key is not needed; what is sealed stays sealed.
///
/// It is one read of SQLite's own, which sees the last commit and holds up nobody.
///
/// # Errors
/// [`ControlError::Query`].
pub async fn copy_file(from: &Path, to: &Path) -> Result<(), ControlError> {
    let doing = "copying the control file";
    let options = SqliteConnectOptions::new().filename(from).create_if_missing(false).disable_statement_logging();
    let mut connection = options.connect().await.map_err(ControlError::query(doing))?;
    let target = to.to_string_lossy().into_owned();
    let copied = sqlx::query("VACUUM INTO $1").bind(target).execute(&mut connection).await;
    copied.map_err(ControlError::query(doing))?;
    connection.close().await.map_err(ControlError::query(doing))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Control;
    use crate::testing::World;

    #[tokio::test]
    async fn a_copy_is_of_one_moment_and_opens() {
        let world = World::new();
        let control = world.open().await;
        control.create_key("before", crate::Scope::ALL).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("copy.sqlite");
        copy_file(&world.path(), &path).await.unwrap();
        control.create_key("after", crate::Scope::ALL).await.unwrap();
        let names = |control: std::sync::Arc<Control>| async move {
            let keys = control.keys().await.unwrap();
            let mut names: Vec<String> = keys.into_iter().map(|key| key.info.name).collect();
            names.sort();
            names
        };
        assert_eq!(names(control).await, ["after", "before"]);
        let copy = Control::open(crate::ControlConfig { path: path.clone(), ..world.config() }).await.unwrap();
        assert_eq!(names(copy).await, ["before"]);
        let error = copy_file(&world.path(), &path).await.unwrap_err();
        assert!(matches!(error, ControlError::Query { .. }), "what is there is not overwritten: {error}");
        assert!(copy_file(&folder.path().join("none.sqlite"), &folder.path().join("other.sqlite")).await.is_err());
    }
}
