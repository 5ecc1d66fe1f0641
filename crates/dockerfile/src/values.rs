//! Names with values, in the order in which they first came.

use std::collections::HashMap;
use std::sync::Arc;

use crate::word::Variables;

/// Each name once. Cheap to clone: stages take over the scopes of others, and each RUN has the environment, however much is in it.
/// Names are found by their places, as a hostile text may define as many as it has lines.
#[derive(Clone, Debug)]
pub(crate) struct Named<V> {
    pairs: Arc<Vec<(String, V)>>,
    places: Arc<HashMap<String, usize>>,
}

/// What variables are.
pub(crate) type Values = Named<String>;

impl<V> Default for Named<V> {
    fn default() -> Self {
        Self { pairs: Arc::default(), places: Arc::default() }
    }
}

impl<V: Clone> Named<V> {
    pub(crate) fn set(&mut self, name: &str, value: V) {
        let pairs = Arc::make_mut(&mut self.pairs);
        match self.places.get(name).and_then(|place| pairs.get_mut(*place)) {
            Some((_, old)) => *old = value,
            None => {
                Arc::make_mut(&mut self.places).insert(name.to_owned(), pairs.len());
                pairs.push((name.to_owned(), value));
            }
        }
    }

    pub(crate) fn value(&self, name: &str) -> Option<&V> {
        self.places.get(name).and_then(|place| self.pairs.get(*place)).map(|(_, value)| value)
    }

    pub(crate) fn pairs(&self) -> &Arc<Vec<(String, V)>> {
        &self.pairs
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Values {
    /// Of a name that comes twice the last value counts.
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> Self {
        let mut values = Self::default();
        pairs.into_iter().for_each(|(name, value)| values.set(name, value.to_owned()));
        values
    }
}

impl Variables for Values {
    fn get(&self, name: &str) -> Option<&str> {
        self.value(name).map(String::as_str)
    }
}
