//! Files of a journal in memory, and files that are lent.

use std::io;

use super::JournalFile;

/// In memory: [`JournalFile::sync`] has nothing to do.
impl JournalFile for Vec<u8> {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let there = usize::try_from(at).ok().and_then(|at| self.get(at..));
        let there = there.and_then(|rest| rest.get(..into.len()));
        into.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        // What is no address is behind the end.
        self.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(())
    }
}

impl<J: JournalFile + ?Sized> JournalFile for &mut J {
    fn bytes(&self) -> io::Result<u64> {
        (**self).bytes()
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        (**self).read(at, into)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        (**self).append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        (**self).cut(bytes)
    }
}
