//! Commands in a page of the documentation, with what they are said to print.

/// A fenced block to be run, and the lines of the `text` block behind it, if there is one.
#[derive(Debug, PartialEq, Eq)]
pub struct Block {
    /// `sh` or `python`.
    pub language: String,
    pub script: String,
    /// Each must be found in what the script prints.
    pub printed: Vec<String>,
}

/// All runnable blocks of a Markdown page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => open = Some((language.to_owned(), String::new())),
            (None, None) => {}
            (Some((_, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (Some(_), Some(_)) => {
                let (language, text) = open.take().expect("a block is open");
                close(&mut found, language, text);
            }
        }
    }
    assert!(open.is_none(), "the last block of the page is not closed");
    found
}

fn close(found: &mut Vec<Block>, language: String, text: String) {
    if language == "text" {
        let block = found.last_mut().expect("output stands behind a command");
        block.printed = text.lines().map(str::to_owned).collect();
    } else {
        found.push(Block {
            language,
            script: text,
            printed: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_belongs_to_the_command_before_it() {
        let page = "# T\n```sh\none\ntwo\n```\nwords\n```text\nout\n```\n```python\nx\n```\n";
        let found = blocks(page);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].script, "one\ntwo\n");
        assert_eq!(found[0].printed, ["out"]);
        assert_eq!(
            (found[1].language.as_str(), found[1].printed.len()),
            ("python", 0)
        );
    }
}
