//! Archives by the roll of dice: every form that writers are known to make, and forms that nobody should make.

use std::ops::Range;

/// Numbers that depend on the seed alone.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// A number below `sides`, which is not zero.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        // splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut state = self.0;
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (state ^ (state >> 31)) % sides
    }

    fn below(&mut self, sides: usize) -> usize {
        usize::try_from(self.roll(sides as u64)).expect("below a usize")
    }

    /// True once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    pub(super) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

const BLOCK: usize = 512;
const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const UNAME: Range<usize> = 265..297;
const MAJOR: Range<usize> = 329..337;
const MINOR: Range<usize> = 337..345;
const PREFIX: Range<usize> = 345..500;
/// Times of GNU headers, where others have the prefix.
const GNU_TIMES: Range<usize> = 345..369;
/// What only sparse files and parts of files have, and nothing.
const GNU_PARTS: Range<usize> = 369..512;

const USTAR: &[u8; 8] = b"ustar\x0000";
const GNU: &[u8; 8] = b"ustar  \0";
const V7: &[u8; 8] = b"\0\0\0\0\0\0\0\0";

type Header = [u8; BLOCK];

/// An archive in the making.
pub(super) struct Archive {
    dice: Dice,
    bytes: Vec<u8>,
    /// Where its headers are.
    headers: Vec<usize>,
    /// Whether to do now and then what no writer should do.
    wild: bool,
}

/// One archive. Half of them are as writers make them.
pub(super) fn archive(seed: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let wild = dice.once_in(2);
    let mut archive = Archive { dice, bytes: Vec::new(), headers: Vec::new(), wild };
    for number in 0..archive.dice.roll(7) {
        if archive.wild(8) {
            archive.oddity();
        }
        archive.entry(number);
    }
    archive.end();
    if archive.wild && archive.dice.once_in(3) && !archive.headers.is_empty() {
        archive.scratch();
    }
    archive.bytes
}

impl Archive {
    /// True once in so many times, in a wild archive.
    fn wild(&mut self, times: u64) -> bool {
        self.wild && self.dice.once_in(times)
    }

    fn entry(&mut self, number: u64) {
        let magic = *self.dice.of(&[USTAR, USTAR, USTAR, GNU, GNU, V7]);
        let kind = *self.dice.of(b"000005522113467\0");
        let name = self.name(number, kind);
        let mut header: Header = [0; BLOCK];
        header[MAGIC].copy_from_slice(magic);
        header[TYPE] = kind;
        if magic != V7 {
            let user = *self.dice.of(&[&b""[..], b"root", b"www-data"]);
            put(&mut header, UNAME, user);
        }
        let mut records = Vec::new();
        self.put_name(&mut header, &mut records, magic, &name);
        self.put_link(&mut header, &mut records, magic, number);
        self.put_numbers(&mut header, &mut records, magic);
        let content = self.content(&mut header, &mut records, magic);
        self.put_xattrs(&mut records, magic);
        if !records.is_empty() || self.wild(12) {
            self.pax(b'x', &records);
        }
        self.put(header, &content);
    }

    fn name(&mut self, number: u64, kind: u8) -> Vec<u8> {
        let mut name = match self.dice.roll(12) {
            0 => format!("./dir/file-{number}").into_bytes(),
            1 => format!("/absolute//{number}/./x").into_bytes(),
            2 => [&b"latin-\xe4\xff-"[..], number.to_string().as_bytes()].concat(),
            3 => format!("größe \u{202e}{number}").into_bytes(),
            4 => format!("new\nline\t\"quoted\" -> \\ {number}").into_bytes(),
            // Around what fits the fields.
            5 => self.long(99, 3, number),
            6 => self.long(150, 12, number),
            7 => self.long(255, 4, number),
            8 => self.long(300, 700, number),
            9 => format!(" .hidden-{number} ").into_bytes(),
            _ => format!("dir/file-{number}").into_bytes(),
        };
        if self.wild(20) {
            name = self.dice.of(&[&b"../up"[..], b"a/../b", b"", b"/", b".", b"x/..", b"nul\0nul", b"./."]).to_vec();
        }
        if kind == b'5' && !self.dice.once_in(4) || self.wild(25) {
            name.push(b'/');
        }
        name
    }

    fn long(&mut self, least: usize, more: usize, number: u64) -> Vec<u8> {
        let length = least + self.dice.below(more);
        let mut name = format!("{number}-").into_bytes();
        while name.len() < length {
            let component = 1 + self.dice.below(60);
            name.extend(std::iter::repeat_n(b'n', component.min(length - name.len())));
            if name.len() < length - 1 {
                name.push(b'/');
            }
        }
        name
    }

    fn put_name(&mut self, header: &mut Header, records: &mut Vec<u8>, magic: &[u8; 8], name: &[u8]) {
        let fits = name.len() <= NAME.len() && !self.dice.once_in(6);
        let split = if magic == USTAR { split(name) } else { None };
        put(header, NAME, &name[..name.len().min(NAME.len())]);
        match (fits, split, magic) {
            (true, ..) => {}
            (false, Some((prefix, rest)), _) if self.dice.once_in(2) => {
                put(header, NAME, rest);
                put(header, PREFIX, prefix);
            }
            (false, _, magic) if magic == GNU || self.wild(6) => self.long_text(b'L', magic, name),
            _ => record(records, b"path", name),
        }
        if self.wild(15) {
            record(records, b"path", b"other");
        }
        if self.wild(15) {
            self.long_text(b'L', magic, b"another");
        }
    }

    fn put_link(&mut self, header: &mut Header, records: &mut Vec<u8>, magic: &[u8; 8], number: u64) {
        if !matches!(header[TYPE], b'1' | b'2') {
            if self.wild(20) {
                put(header, LINK, b"stray");
            }
            return;
        }
        let target = match self.dice.roll(5) {
            0 => b"../../up and -> away".to_vec(),
            1 if header[TYPE] == b'2' => b"/absolute//./target".to_vec(),
            2 => self.long(98, 5, number + 100),
            3 => self.long(200, 300, number + 100),
            _ => b"dir/file-0".to_vec(),
        };
        let target = if header[TYPE] == b'1' { target.strip_prefix(b"../../").unwrap_or(&target).to_vec() } else { target };
        put(header, LINK, &target[..target.len().min(LINK.len())]);
        if target.len() > LINK.len() || self.dice.once_in(6) {
            if magic == GNU { self.long_text(b'K', magic, &target) } else { record(records, b"linkpath", &target) }
        }
    }

    fn put_numbers(&mut self, header: &mut Header, records: &mut Vec<u8>, magic: &[u8; 8]) {
        let mode = *self.dice.of(&[0o644, 0o755, 0o4755, 0o1777, 0, 0o7777, 0o100_644]);
        self.put_number(header, MODE, mode);
        for (field, key) in [(UID, &b"uid"[..]), (GID, b"gid")] {
            let id = *self.dice.of(&[0, 0, 1000, 0o7_777_777, 0o10_000_000, 4_294_967_294]);
            self.put_large(header, records, magic, field, key, id);
        }
        let mtime = *self.dice.of(&[0, 1, 1_000_000_000, 0o77_777_777_777, 0o100_000_000_000, 1 << 34]);
        self.put_large(header, records, magic, MTIME, b"mtime", mtime);
        if self.dice.once_in(6) && magic != V7 {
            let time = *self.dice.of(&["1000000000.5", "-1", "-0.5", "1.999999999", "0.", "3.000", "-1000000000.25"]);
            record(records, b"mtime", time.as_bytes());
        }
        if magic != V7 && (matches!(header[TYPE], b'3' | b'4') || self.dice.once_in(3)) {
            let (major, minor) = *self.dice.of(&[(0, 0), (8, 1), (0xfff, 0xf_ffff)]);
            self.put_number(header, MAJOR, major);
            self.put_number(header, MINOR, minor);
        }
        if magic == GNU && self.dice.once_in(5) {
            for time in [GNU_TIMES.start..GNU_TIMES.start + 12, GNU_TIMES.start + 12..GNU_TIMES.end] {
                self.put_number(header, time, 1_000_000_000);
            }
        }
        if magic == GNU && self.wild(20) {
            let at = GNU_PARTS.start + self.dice.below(GNU_PARTS.len() - 1);
            header[at..at + 2].copy_from_slice(b"17");
        }
    }

    /// A number that may need more than the field has.
    fn put_large(&mut self, header: &mut Header, records: &mut Vec<u8>, magic: &[u8; 8], field: Range<usize>, key: &[u8], value: u64) {
        let fits = value < 1 << (3 * (field.len() - 1));
        if magic == GNU && (!fits || self.dice.once_in(8)) {
            base_256(header, field, value.into());
        } else if magic != V7 && (!fits || self.dice.once_in(8)) {
            record(records, key, value.to_string().as_bytes());
            self.put_number(header, field, if fits { value } else { 0 });
        } else {
            self.put_number(header, field, if fits { value } else { 0 });
        }
    }

    /// Octal digits as different writers fill the field.
    fn put_number(&mut self, header: &mut Header, field: Range<usize>, value: u64) {
        let width = field.len();
        let text = match self.dice.roll(8) {
            0 => format!("{value:>width$o} ", width = width - 1),
            1 => format!("{value:o}"),
            2 => format!("{value:>width$o}\0", width = width - 1),
            _ => format!("{value:0>width$o}\0", width = width - 1),
        };
        put(header, field.clone(), &text.as_bytes()[..width.min(text.len())]);
        if self.wild(40) {
            let garbage = *self.dice.of(&[&b"12x"[..], b"-1", b"", b"8", b"+7", b"1\x001", b"        ", b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x80", b"\x81"]);
            put(header, field, garbage);
        }
    }

    fn content(&mut self, header: &mut Header, records: &mut Vec<u8>, magic: &[u8; 8]) -> Vec<u8> {
        let is_file = matches!(header[TYPE], b'0' | b'7' | 0);
        let size = if is_file || self.wild(10) { *self.dice.of(&[0, 1, 511, 512, 513, 2000]) } else { 0 };
        // Content that would be taken for headers by who starts to read in the wrong place.
        let mut content = match self.dice.roll(3) {
            0 => {
                let mut decoy: Header = [0; BLOCK];
                put(&mut decoy, NAME, b"decoy");
                put(&mut decoy, SIZE, b"00000000000");
                decoy[TYPE] = b'0';
                decoy[MAGIC].copy_from_slice(USTAR);
                seal(&mut decoy);
                decoy.repeat(4)
            }
            1 => vec![0; 2048],
            _ => b"content ".repeat(256),
        };
        content.truncate(size);
        match self.dice.roll(8) {
            0 if magic == GNU => base_256(header, SIZE, size as i128),
            1 if magic != V7 => {
                record(records, b"size", size.to_string().as_bytes());
                let stored = *self.dice.of(&[0, size as u64]);
                self.put_number(header, SIZE, stored);
            }
            _ => self.put_number(header, SIZE, size as u64),
        }
        content
    }

    fn put_xattrs(&mut self, records: &mut Vec<u8>, magic: &[u8; 8]) {
        if magic == V7 || !self.dice.once_in(5) {
            return;
        }
        let value = *self.dice.of(&[&b"value"[..], b"line\nline\n", b"a=b", b"\x01\0\0\x02\xff", b"30 path=decoy\n"]);
        record(records, b"SCHILY.xattr.user.test", value);
        if self.dice.once_in(2) {
            record(records, b"SCHILY.xattr.security.capability", value);
        }
        if self.dice.once_in(4) {
            record(records, b"atime", b"1000000000.123456789");
            record(records, b"LIBARCHIVE.creationtime", b"1000000000");
            record(records, b"comment", b"");
            record(records, b"uname", "größe".as_bytes());
            record(records, b"SCHILY.dev", b"2049");
        }
    }

    /// Something before an entry that does not belong there, or that few writers put there.
    fn oddity(&mut self) {
        let magic = *self.dice.of(&[USTAR, GNU, V7]);
        match self.dice.roll(12) {
            0 => self.bytes.extend([0; BLOCK]),
            1 => self.pax(b'g', &records(&[(b"comment", b"git archive says so")])),
            2 => self.pax(b'g', &records(&[(b"path", b"global"), (b"mtime", b"1")])),
            3 => self.pax(b'x', &records(&[(b"path", b"first"), (b"path", b"second")])),
            4 => self.pax(b'x', b"9 path=a\n"),
            5 => self.pax(b'x', &records(&[(b"GNU.sparse.major", b"1"), (b"GNU.sparse.name", b"sparse")])),
            6 => self.pax(b'x', &records(&[(b"path", b""), (b"size", b"+5")])),
            7 => self.long_text(b'L', magic, b"before a pax header"),
            8 => {
                let charset = *self.dice.of(&[&b"BINARY"[..], b"ISO-IR 8859 1 1998"]);
                self.pax(b'x', &records(&[(b"hdrcharset", charset), (b"path", b"b\xe4r")]));
            }
            9 => self.bytes.extend([0; 2 * BLOCK]),
            10 => self.pax(b'x', &records(&[(b"SCHILY.realsize", b"5"), (b"SCHILY.devmajor", b"9")])),
            _ => {
                let mut header: Header = [0; BLOCK];
                put(&mut header, NAME, b"odd");
                put(&mut header, SIZE, b"00000000001");
                header[MAGIC].copy_from_slice(magic);
                header[TYPE] = *self.dice.of(b"SVMNDXAIZ89\xff ");
                self.put(header, b"?");
            }
        }
    }

    fn end(&mut self) {
        match self.dice.roll(if self.wild { 10 } else { 20 }) {
            0 => {}
            1 => self.bytes.extend([0; BLOCK]),
            2 => self.bytes.extend([0; 9000]),
            3 if self.wild => {
                self.bytes.extend([0; 2 * BLOCK]);
                self.bytes.extend(b"hidden".repeat(200));
            }
            4 if self.wild => {
                let left = self.dice.below(self.bytes.len() + 1);
                self.bytes.truncate(left);
            }
            5 if self.wild => self.pax(b'x', &records(&[(b"path", b"nothing follows")])),
            _ => self.bytes.extend([0; 2 * BLOCK]),
        }
    }

    /// Changes bytes: anywhere, or of a header, and then makes the checksum right again.
    fn scratch(&mut self) {
        if self.dice.once_in(3) && !self.bytes.is_empty() {
            let place = self.dice.below(self.bytes.len());
            self.bytes[place] = *self.dice.of(b"\0 019/x=\n\xff");
            return;
        }
        let at = *self.dice.of(&self.headers);
        let Some(mut header) = self.bytes.get(at..at + BLOCK).and_then(|block| Header::try_from(block).ok()) else { return };
        for _ in 0..=self.dice.roll(3) {
            let place = self.dice.below(BLOCK);
            let byte = self.dice.below(256);
            header[place] = if self.dice.once_in(2) { *self.dice.of(b"\0 01/x") } else { u8::try_from(byte).expect("a byte") };
        }
        if !self.dice.once_in(10) {
            seal(&mut header);
        }
        self.bytes[at..at + BLOCK].copy_from_slice(&header);
    }

    fn long_text(&mut self, flag: u8, magic: &[u8; 8], text: &[u8]) {
        let mut header: Header = [0; BLOCK];
        put(&mut header, NAME, b"././@LongLink");
        let end: &[u8] = if self.dice.once_in(5) { b"" } else { b"\0" };
        let content = [text, end].concat();
        put(&mut header, SIZE, format!("{:011o}", content.len()).as_bytes());
        header[MAGIC].copy_from_slice(magic);
        header[TYPE] = flag;
        self.put(header, &content);
    }

    fn pax(&mut self, flag: u8, records: &[u8]) {
        let mut header: Header = [0; BLOCK];
        put(&mut header, NAME, b"PaxHeaders/x");
        put(&mut header, SIZE, format!("{:011o}", records.len()).as_bytes());
        header[MAGIC].copy_from_slice(if self.wild && self.dice.once_in(20) { GNU } else { USTAR });
        header[TYPE] = flag;
        self.put(header, records);
    }

    fn put(&mut self, mut header: Header, content: &[u8]) {
        seal(&mut header);
        self.headers.push(self.bytes.len());
        self.bytes.extend(header);
        self.bytes.extend(content);
        let padding = content.len().wrapping_neg() % BLOCK;
        let filler = if self.wild(12) { b'p' } else { 0 };
        self.bytes.extend(std::iter::repeat_n(filler, padding));
    }
}

fn put(header: &mut Header, field: Range<usize>, text: &[u8]) {
    header[field.clone()].fill(0);
    header[field.start..][..text.len()].copy_from_slice(text);
}

fn base_256(header: &mut Header, field: Range<usize>, value: i128) {
    let bytes = value.to_be_bytes();
    let width = field.len();
    header[field.clone()].copy_from_slice(&bytes[bytes.len() - width..]);
    header[field.start] |= 0x80;
}

fn seal(header: &mut Header) {
    header[CHECKSUM].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[CHECKSUM].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// Where a name can be divided between prefix and name.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = (0..name.len().saturating_sub(1)).rev().find(|at| name[*at] == b'/' && *at <= PREFIX.len() && *at > 0)?;
    let (prefix, rest) = (&name[..slash], &name[slash + 1..]);
    (rest.len() <= NAME.len()).then_some((prefix, rest))
}

fn records(all: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in all {
        record(&mut out, key, value);
    }
    out
}

fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend(length.to_string().as_bytes());
    out.push(b' ');
    out.extend([key, b"=", value, b"\n"].concat());
}
