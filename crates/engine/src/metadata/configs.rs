//! Configs per resource, edited key by key (KIP-339).

use std::sync::Arc;

use super::image::Configs;
use super::{ConfigChange, ConfigEdit, Image, Outcome, Rejection, Resource};

impl Image {
    pub(super) fn alter_configs(&mut self, changes: &[ConfigChange]) -> Outcome {
        Outcome::Each(changes.iter().map(|c| self.alter_config(c)).collect())
    }

    fn alter_config(&mut self, change: &ConfigChange) -> Result<(), Rejection> {
        let topic = match &change.resource {
            Resource::Topic(name) => Some(
                self.topic(name)
                    .ok_or(Rejection::UnknownTopicOrPartition)?
                    .id,
            ),
            Resource::Broker(_) | Resource::AllBrokers | Resource::Group(_) => None,
        };
        let mut configs = self
            .configs(&change.resource)
            .map(|c| (**c).clone())
            .unwrap_or_default();
        for (key, edit) in &change.edits {
            edit_one(&mut configs, key, edit);
        }
        let all = Arc::make_mut(&mut self.configs);
        if configs.is_empty() {
            all.remove(&change.resource);
        } else {
            all.insert(change.resource.clone(), Arc::new(configs));
        }
        if let Some(topic) = topic {
            self.note_flushing(topic);
        }
        self.settle_config(topic);
        Ok(())
    }
}

fn edit_one(configs: &mut Configs, key: &str, edit: &ConfigEdit) {
    let items = |list: &str| -> Vec<String> {
        list.split(',')
            .map(str::trim)
            .filter(|i| !i.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let current =
        |configs: &Configs, default: &str| items(configs.get(key).map_or(default, String::as_str));
    match edit {
        ConfigEdit::Set(value) => {
            configs.insert(key.to_owned(), value.clone());
        }
        ConfigEdit::Delete => {
            configs.remove(key);
        }
        ConfigEdit::Append {
            items: more,
            default,
        } => {
            let mut list = current(configs, default);
            for item in items(more) {
                if !list.contains(&item) {
                    list.push(item);
                }
            }
            configs.insert(key.to_owned(), list.join(","));
        }
        ConfigEdit::Subtract {
            items: less,
            default,
        } => {
            let less = items(less);
            let list: Vec<_> = current(configs, default)
                .into_iter()
                .filter(|i| !less.contains(i))
                .collect();
            configs.insert(key.to_owned(), list.join(","));
        }
    }
}
