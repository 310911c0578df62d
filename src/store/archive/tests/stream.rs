//! Writing to stdout.

use super::write::content;
use super::*;
use crate::error::ErrorKind;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

struct Stdout {
    archive: Box<dyn Destination>,
    path: PathBuf,
    temp: tempfile::TempDir,
}

/// Stdout is a file here, so that what came out can be looked at.
fn stdout() -> Stdout {
    let (temp, path) = place();
    let out = Arc::new(File::create(&path).unwrap());
    let options = Options { stdout: Some(out), temporary: temp.path().to_owned(), ..Options::default() };
    Stdout { archive: OciArchive.destination(Path::new("-"), &options).unwrap(), path, temp }
}

fn announce(to: &dyn Destination, content: &[Blob]) {
    to.announce(&content.iter().map(|blob| blob.0.clone()).collect::<Vec<_>>(), &[]).unwrap();
}

fn expected() -> Vec<u8> {
    let (_temp, path) = place();
    let archive = create(&path);
    announce(&archive, &content());
    content().iter().for_each(|blob| blob.put(&archive));
    archive.commit(&[named(&image(b"layer"), "1")]).unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn arc_19_the_bytes_are_those_of_a_file_in_whichever_order_content_comes() {
    let expected = expected();
    let content = content();
    type Order = fn(&[Blob]) -> Vec<Vec<Blob>>;
    let orders: [Order; 5] = [
        |content| vec![content.to_vec()],
        |content| vec![content.iter().rev().cloned().collect()],
        |content| content.iter().map(|blob| vec![blob.clone()]).collect(),
        |content| content.chunks(3).map(<[Blob]>::to_vec).collect(),
        |content| vec![content.to_vec(), content.iter().rev().cloned().collect(), content.to_vec()],
    ];
    for (number, order) in orders.into_iter().enumerate() {
        let stdout = stdout();
        announce(&*stdout.archive, &content);
        std::thread::scope(|scope| {
            for part in order(&content) {
                let archive = &stdout.archive;
                scope.spawn(move || part.iter().for_each(|blob| blob.put(&**archive)));
            }
        });
        assert!(content.iter().all(|blob| stdout.archive.has(&blob.0).unwrap()));
        stdout.archive.commit(&[named(&image(b"layer"), "1")]).unwrap();
        assert!(std::fs::read(&stdout.path).unwrap() == expected, "order {number}");
        assert_eq!(std::fs::read_dir(stdout.temp.path()).unwrap().count(), 1, "nothing else is left");
    }
}

#[test]
fn who_is_here_a_little_early_waits_and_keeps_nothing() {
    let (_temp, path) = place();
    let options = Options { stdout: Some(Arc::new(File::create(&path).unwrap())), temporary: "/nowhere".into(), ..Options::default() };
    let archive = OciArchive.destination(Path::new("-"), &options).unwrap();
    let image = image(b"layer");
    announce(&*archive, &image);
    std::thread::scope(|scope| {
        for (blob, delay) in image.iter().zip([100, 50, 0]) {
            let archive = &archive;
            scope.spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(delay));
                blob.put(&**archive);
            });
        }
    });
    archive.commit(&[named(&image, "1")]).unwrap();
    assert_eq!(names(&path), ["1"]);
}

#[test]
fn without_an_announcement_the_order_is_that_of_putting() {
    let stdout = stdout();
    content().iter().for_each(|blob| blob.put(&*stdout.archive));
    stdout.archive.commit(&[named(&image(b"layer"), "1")]).unwrap();
    assert!(std::fs::read(&stdout.path).unwrap() == expected());
    let error = stdout.archive.put(&content()[0].0, &mut &b""[..]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "it is complete");
}

#[test]
fn nothing_goes_out_before_there_is_something_and_an_empty_archive_is_one() {
    let stdout = stdout();
    announce(&*stdout.archive, &[]);
    assert_eq!(std::fs::read(&stdout.path).unwrap(), b"");
    stdout.archive.commit(&[]).unwrap();
    assert_eq!(names(&stdout.path), [""; 0]);
}

#[test]
fn arc_18_what_fails_is_cut_off_and_seen_to_be() {
    let stdout = stdout();
    let image = image(b"layer");
    announce(&*stdout.archive, &image);
    image[0].put(&*stdout.archive);
    // What is not its turn is kept first, so that it can be tried again.
    assert_eq!(stdout.archive.put(&image[2].0, &mut &b"wrong"[..]).unwrap_err().kind(), ErrorKind::Corrupt);
    image[2].put(&*stdout.archive);
    let error = stdout.archive.commit(&[]).unwrap_err();
    assert_eq!((error.kind(), error.subject_text()), (ErrorKind::NotFound, Some(image[1].0.digest.as_str())));
    assert_eq!(stdout.archive.put(&image[1].0, &mut &b"wrong"[..]).unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(stdout.archive.put(&image[1].0, &mut &b"layer"[..]).unwrap_err().kind(), ErrorKind::Io, "half of it is out");
    assert_eq!(stdout.archive.commit(&[]).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(Archive::open(&stdout.path, &Options::default()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn who_waits_for_a_turn_that_fails_does_not_wait_for_ever() {
    for _ in 0..20 {
        let stdout = stdout();
        let image = image(&vec![1; 3 << 20]);
        announce(&*stdout.archive, &image);
        std::thread::scope(|scope| {
            let archive = &stdout.archive;
            let failing = scope.spawn(|| archive.put(&image[0].0, &mut &b"[]"[..]).unwrap_err().kind());
            let waiting: Vec<_> = image[1..].iter().map(|blob| scope.spawn(|| archive.put(&blob.0, &mut &blob.1[..]).map_err(|error| error.kind()))).collect();
            assert_eq!(failing.join().unwrap(), ErrorKind::Corrupt);
            for put in waiting {
                assert!(matches!(put.join().unwrap(), Ok(()) | Err(ErrorKind::Io)));
            }
        });
        assert!(stdout.archive.commit(&[]).is_err());
    }
}

#[test]
fn a_closed_pipe_is_a_failure_and_a_terminal_is_refused() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let options = Options { stdout: Some(Arc::new(File::from(OwnedFd::from(writer)))), ..Options::default() };
    let archive = OciArchive.destination(Path::new("-"), &options).unwrap();
    let layer = &image(b"layer")[1];
    assert_eq!(archive.put(&layer.0, &mut &b"layer"[..]).unwrap_err().kind(), ErrorKind::Io);
    let refused = OciArchive.destination(Path::new("-"), &Options::default()).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::Usage);
}
