//! Records that some sinks must refuse, and that must become dead letters of just those.

use anyhow::Result;

use super::Fault;
use crate::chaos::field::Field;
use crate::poison;

pub struct Poison;

impl Fault for Poison {
    fn story(&self) -> String {
        "records that are no JSON, no web log, or not for PostgreSQL".into()
    }

    fn strike(&mut self, field: &mut Field) -> Result<()> {
        field.poison.extend(poison::produce(&field.stack)?);
        Ok(())
    }

    fn heal(&mut self, _: &mut Field) -> Result<()> {
        Ok(())
    }
}
