//! Training sequences out of tokens, and the index of the folders that hold them: what pack-tokens, tokens-passages,
//! mds-verify, mds-merge and lm-score share.
//!
//! A program opens the [`corpus`], says which sequences it wants ([`choice`], which the flags of [`selection`]
//! describe) and of which shape ([`packing`]), and gives [`writing`] a writer a part. [`mds`] reads and writes Mosaic's
//! folders, in which integers are stored as [`ndarray`] and [`pickle`] have them.

#![deny(missing_docs)]

pub mod apportion;
pub mod choice;
pub mod corpus;
pub mod json;
pub mod mds;
pub mod ndarray;
pub mod packing;
pub mod pickle;
pub mod provenance;
pub mod selection;
pub mod writing;

/// The column of the tokens.
pub const TOKENS: &str = "token_ids";
/// The column of the tokens before them.
pub const PREV: &str = "prev_token_ids";
/// The column of the label.
pub const DOMAIN: &str = "domain";
/// The column of the documents' lengths.
pub const LENGTHS: &str = "lengths";
