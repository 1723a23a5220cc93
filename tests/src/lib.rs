//! What every tool must do, as tests, and what the tests of all tools are made of.
//!
//! A tool's `tests/cli.rs` says once how the tool is run on valid documents, a [`tool::Tool`], and calls [`holds!`];
//! each clause of the contract is then a test of its own. Clauses about a flag ask the tool whether it has that flag.

pub mod corpus;
pub mod descriptors;
pub mod documents;
pub mod driver;
pub mod files;
pub mod folder;
pub mod manual;
pub mod npy;
pub mod packed;
pub mod page;
pub mod records;
pub mod rows;
pub mod run;
pub mod streams;
pub mod tool;
pub mod vectors;

/// Tests that a tool keeps groups of clauses: `holds!(tool: manual, files, documents, records, rows)`, where `tool` is
/// a function that gives the [`tool::Tool`]. `manual` and `files` (with `descriptors`) are for every tool; `documents`
/// for those that read one line a document; `records` for those that look into the line; `rows` for those that write
/// one row a document. `vectors` is for those that read vectors, whose input is that of [`vectors::input`],
/// `skipped_vectors` for those whose output does not count bad vectors apart from missing ones, and `vector_rows` for
/// those that also write one row a vector. `streams` is for those that read vectors or tokens.
#[macro_export]
macro_rules! holds {
    ($tool:ident: $($group:ident),+) => { $( $crate::holds!(@$group $tool); )+ };
    (@manual $tool:ident) => {
        $crate::holds!(@tests $tool manual:
            help_names_every_flag, help_fits_eighty_columns, version_is_one_line, manual_page_is_the_committed_one,
            completions_are_for_three_shells,
            misspelt_flag_is_refused_with_a_suggestion, wrong_values_are_refused_by_name, missing_values_are_refused);
    };
    (@files $tool:ident) => {
        $crate::holds!(@tests $tool files:
            missing_file_is_named, folder_is_refused, packed_input_is_the_same, truncated_input_is_an_error,
            full_disk_is_an_error, same_input_twice_is_the_same, side_files_are_checked_before_input_is_read,
            stats_are_one_object, stats_survive_a_kill_whole_or_not_at_all);
        $crate::holds!(@tests $tool descriptors:
            closed_output_is_an_error, closed_input_is_an_error, full_or_closed_stderr_changes_nothing,
            descriptors_are_written_to, links_in_wait_are_not_followed, scarcity_is_no_crash,
            named_pipes_are_read_whole, terminals_get_no_binary_output);
    };
    (@documents $tool:ident) => {
        $crate::holds!(@tests $tool documents:
            no_documents_are_no_rows, last_line_needs_no_newline, carriage_returns_change_no_row,
            standard_input_is_a_file,
            operands_are_read_in_order, threads_change_nothing, reader_may_leave, reader_may_leave_while_input_waits,
            very_long_line_is_a_line, shards_of_what_cannot_be_cut_are_refused, progress_is_not_data,
            byte_order_mark_is_no_part_of_a_line, formats_without_lines_are_named);
    };
    (@records $tool:ident) => {
        $crate::holds!(@tests $tool records:
            bad_records_are_described_with_their_place, bad_record_of_a_shard_has_its_place_in_the_file,
            deep_nesting_is_no_crash, bad_record_of_a_second_file_names_it);
    };
    (@rows $tool:ident) => {
        $crate::holds!(@tests $tool rows:
            skipped_records_are_missing_rows, shards_put_together_are_the_whole);
    };
    (@vectors $tool:ident) => {
        $crate::holds!(@tests $tool vectors:
            arrays_and_files_are_one_stream, half_precision_is_the_same, double_precision_is_rounded,
            fortran_order_is_read_from_files, headerless_records_are_the_same,
            damaged_headers_are_named, changed_headers_are_no_crash, half_a_row_is_an_error,
            another_dimension_is_refused,
            values_that_are_no_numbers_are_named, missing_vectors_are_no_error);
        mod vector_files {
            $crate::holds!(@tests $tool documents:
                standard_input_is_a_file, threads_change_nothing, reader_may_leave, progress_is_not_data);
            use super::$tool;
        }
    };
    (@streams $tool:ident) => {
        $crate::holds!(@tests $tool streams:
            streams_are_read_as_arrays_are, killed_writers_are_seen, nothing_is_refused,
            streams_that_are_not_whole_are_refused, changed_streams_are_the_same_or_refused,
            shards_of_a_stream_are_those_of_its_rows);
    };
    (@skipped_vectors $tool:ident) => {
        mod skipped_vectors {
            $crate::holds!(@tests $tool vectors: skipped_vectors_are_missing);
            use super::$tool;
        }
    };
    (@vector_rows $tool:ident) => {
        mod vector_rows {
            $crate::holds!(@tests $tool vectors: no_vectors_are_no_rows);
            $crate::holds!(@tests $tool documents:
                reader_may_leave_while_input_waits, shards_of_what_cannot_be_cut_are_refused);
            $crate::holds!(@tests $tool rows: shards_put_together_are_the_whole);
            use super::$tool;
        }
    };
    (@tests $tool:ident $group:ident: $($clause:ident),+) => {
        mod $group {
            $( #[test] fn $clause() { $crate::$group::$clause(&super::$tool()); } )+
        }
    };
}
