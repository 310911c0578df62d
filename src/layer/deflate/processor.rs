//! What newer processors can do besides, used where it is there.
//!
//! The encoder shifts by variable counts and looks for the first and the last bit that is set, all the time. Processors of x86-64 since 2013 have instructions
//! for that which the oldest ones lack: they take 4 % off the time of an encoder that is compiled for all of them. The result is the same: what is
//! compiled twice is the same code.
//!
//! Here stands the only `unsafe` of larder. A function that is compiled for instructions which the processor may lack can only be called so; what must hold is that
//! the processor has them, and it is asked just before.

/// Something to be done that is worth being compiled for each kind of processor.
pub(super) trait Work {
    /// What comes of it.
    type Output;

    /// Does it. To be inlined, with all that its time is spent in: what is called is not compiled anew.
    fn work(self) -> Self::Output;
}

/// Does it with what this processor has.
pub(super) fn run<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("bmi1") && std::is_x86_feature_detected!("bmi2") && std::is_x86_feature_detected!("lzcnt") {
        // SAFETY: the processor has all that the function is compiled for.
        #[expect(unsafe_code, reason = "measured, see above")]
        return unsafe { with_bit_manipulation(work) };
    }
    work.work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "bmi1,bmi2,lzcnt")]
fn with_bit_manipulation<W: Work>(work: W) -> W::Output {
    work.work()
}
