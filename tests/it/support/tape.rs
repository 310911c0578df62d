//! Archives written header by header, so that they can say what no honest tool would.

/// One entry as it stands in the archive.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) kind: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) owner: (u32, u32),
    pub(crate) mtime: u64,
    pub(crate) device: (u32, u32),
    pub(crate) pax: Vec<(String, Vec<u8>)>,
}

impl Record {
    fn new(kind: u8, name: &str) -> Record {
        let mode = if kind == b'5' { 0o755 } else { 0o644 };
        Record { kind, name: name.into(), link: Vec::new(), content: Vec::new(), mode, owner: (0, 0), mtime: 1_000_000_000, device: (0, 0), pax: Vec::new() }
    }

    pub(crate) fn mode(self, mode: u32) -> Record {
        Record { mode, ..self }
    }

    pub(crate) fn owner(self, uid: u32, gid: u32) -> Record {
        Record { owner: (uid, gid), ..self }
    }

    pub(crate) fn xattr(mut self, name: &str, value: &[u8]) -> Record {
        self.pax.push((format!("SCHILY.xattr.{name}"), value.into()));
        self
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut pax = self.pax.clone();
        if self.name.len() > 100 {
            pax.push(("path".into(), self.name.clone()));
        }
        if self.link.len() > 100 {
            pax.push(("linkpath".into(), self.link.clone()));
        }
        if !pax.is_empty() {
            let records: Vec<u8> = pax.iter().flat_map(|(key, value)| pax_record(key, value)).collect();
            block(out, &Record { content: records, ..Record::new(b'x', "pax") });
        }
        block(out, self);
    }
}

pub(crate) fn file(name: &str, content: &str) -> Record {
    Record { content: content.into(), ..Record::new(b'0', name) }
}

pub(crate) fn dir(name: &str) -> Record {
    Record::new(b'5', name)
}

pub(crate) fn symlink(name: &str, target: &str) -> Record {
    Record { link: target.into(), mode: 0o777, ..Record::new(b'2', name) }
}

pub(crate) fn hardlink(name: &str, target: &str) -> Record {
    Record { link: target.into(), ..Record::new(b'1', name) }
}

pub(crate) fn fifo(name: &str) -> Record {
    Record::new(b'6', name)
}

pub(crate) fn device(name: &str, major: u32, minor: u32) -> Record {
    Record { device: (major, minor), ..Record::new(b'3', name) }
}

/// The archive of these entries, with its end.
pub(crate) fn tar(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    records.iter().for_each(|record| record.write(&mut out));
    out.extend([0; 1024]);
    out
}

fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest + 1..).find(|length| rest + length.to_string().len() == *length).expect("there is one");
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

/// Header, content and padding.
fn block(out: &mut Vec<u8>, record: &Record) {
    let mut header = [0; 512];
    let mut put = |begin: usize, bytes: &[u8]| header[begin..begin + bytes.len()].copy_from_slice(bytes);
    put(0, &record.name[..record.name.len().min(100)]);
    put(100, format!("{:07o}", record.mode).as_bytes());
    put(108, format!("{:07o}", record.owner.0).as_bytes());
    put(116, format!("{:07o}", record.owner.1).as_bytes());
    put(124, format!("{:011o}", record.content.len()).as_bytes());
    put(136, format!("{:011o}", record.mtime).as_bytes());
    put(148, b"        ");
    put(156, &[record.kind]);
    put(157, &record.link[..record.link.len().min(100)]);
    put(257, b"ustar\x0000");
    put(329, format!("{:07o}", record.device.0).as_bytes());
    put(337, format!("{:07o}", record.device.1).as_bytes());
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend(header);
    out.extend(&record.content);
    out.resize(out.len().next_multiple_of(512), 0);
}
