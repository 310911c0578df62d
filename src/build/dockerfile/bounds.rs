//! The bounds of what a Dockerfile may be, so that none takes for ever or all memory to read, whoever wrote it. Each is far beyond what people write.

/// Bytes of a line: what BuildKit reads.
pub(super) const LINE_BYTES: usize = 65_535;

/// Bytes of an instruction with all its continuations, without here-documents: 1 MiB.
pub(super) const INSTRUCTION_BYTES: usize = 1 << 20;

/// Instructions of a file. An image has 127 layers at most where Docker stores it.
pub(super) const INSTRUCTIONS: usize = 10_000;

/// Here-documents of an instruction.
pub(super) const DOCUMENTS: usize = 100;

/// Bytes that a text may have once its variables are expanded: what a file may have.
pub(super) const EXPANDED_BYTES: usize = 16 << 20;

/// Bytes of a value, times bytes of the pattern that is looked for in it. The longest variable that a program can be given, 128 KiB, allows one of 512 bytes.
pub(super) const PATTERN_WORK: usize = 64 << 20;

/// Variables of a stage, arguments among them.
pub(super) const VARIABLES: usize = 10_000;

/// Ports of an instruction: all there are, of three protocols.
pub(super) const PORTS: usize = 3 * 65_535;

/// Bytes of all that is planned: environments and history. A config of an image has 8 MiB at most.
pub(super) const PLANNED_BYTES: usize = 64 << 20;

/// Remarks that are told. Who has more than that to read has stopped reading.
pub(super) const REMARKS: usize = 1000;

/// Bytes of a pattern of paths: no path of Linux is longer.
pub(super) const GLOB_BYTES: usize = 4096;

/// Patterns of an ignore file.
pub(super) const PATTERNS: usize = 10_000;

/// Steps of a `--chmod`.
pub(super) const CHMOD_STEPS: usize = 100;
