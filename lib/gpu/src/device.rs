//! One GPU: its driver, memory, streams and launches. The only module that knows CUDA's names.
//!
//! A missing driver, a missing or unsupported GPU, and whatever the driver reports later are errors with the reason and
//! what to do.

use cudarc::driver::{CudaContext, CudaFunction, CudaStream, DriverError, result, sys};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::modules::{DYNAMIC_SHARED, MODULES};

/// The oldest GPUs that are supported: compute capability 8.0 (Ampere).
const CAPABILITY_MIN: (i32, i32) = (8, 0);

/// What went wrong on a GPU, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// For the user.
    pub message: String,
    /// Whether less memory would have done.
    pub out_of_memory: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Failure {
    fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), out_of_memory: false }
    }

    /// `gpu`: its number, where there is one already.
    fn driver(gpu: Option<usize>, doing: &str, error: DriverError) -> Failure {
        let text = |found: Result<&std::ffi::CStr, _>| {
            found.map_or_else(|_| "?".into(), |text| text.to_string_lossy().into_owned())
        };
        let (name, reason) = (text(error.error_name()), text(error.error_string()));
        let hint = match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                "; free memory of the GPU (nvidia-smi shows who holds it), or run with --device cpu"
            }
            sys::CUresult::CUDA_ERROR_NO_DEVICE => {
                "; is the GPU visible here (nvidia-smi, CUDA_VISIBLE_DEVICES)? Otherwise run with --device cpu"
            }
            sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION | sys::CUresult::CUDA_ERROR_INVALID_PTX => {
                "; install NVIDIA driver 550 or newer, or run with --device cpu"
            }
            _ => "; look at nvidia-smi and the kernel's log, or run with --device cpu",
        };
        let gpu = gpu.map_or_else(|| "GPU".to_string(), |number| format!("GPU {number}"));
        Failure {
            message: format!("{gpu}: {doing}: {reason} ({name}){hint}"),
            out_of_memory: error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY,
        }
    }
}

trait Doing<T> {
    /// Says what was being done when the driver refused, and on which GPU.
    fn doing(self, gpu: impl Into<Option<usize>>, what: &str) -> Result<T, Failure>;
}

impl<T> Doing<T> for Result<T, DriverError> {
    fn doing(self, gpu: impl Into<Option<usize>>, what: &str) -> Result<T, Failure> {
        self.map_err(|error| Failure::driver(gpu.into(), what, error))
    }
}

/// Values that are the same bytes here and there, any bytes being a value.
///
/// # Safety
/// No padding, no niche.
pub(crate) unsafe trait Plain: Copy + Default + Send + Sync + 'static {}
// SAFETY: numbers.
unsafe impl Plain for f32 {}
// SAFETY: numbers.
unsafe impl Plain for f64 {}
// SAFETY: numbers.
unsafe impl Plain for u16 {}
// SAFETY: numbers.
unsafe impl Plain for u32 {}
// SAFETY: numbers.
unsafe impl Plain for u64 {}

/// A GPU, its kernels loaded. Clones are the same one.
#[derive(Clone)]
pub struct Device(Arc<Machine>);

enum Machine {
    Cuda {
        context: Arc<CudaContext>,
        functions: HashMap<&'static str, CudaFunction>,
    },
    #[cfg(test)]
    Emulated(crate::emulator::Emulator),
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}

/// Whether an NVIDIA driver is installed.
fn has_driver() -> bool {
    // SAFETY: it only tries to open libcuda, whose initialisation has no preconditions. Anything else in cudarc panics
    // without that library.
    unsafe { sys::is_culib_present() }
}

/// How many GPUs the driver shows.
///
/// # Errors
/// Where there are none; the message has the reason.
pub fn count() -> Result<usize, Failure> {
    if !has_driver() {
        return Err(Failure::new(
            "GPU: no NVIDIA driver is installed here (libcuda.so.1 was not found); \
             install driver 550 or newer, or run with --device cpu",
        ));
    }
    result::init().doing(None, "starting the driver")?;
    match result::device::get_count().doing(None, "counting GPUs")? {
        0 => Err(Failure::new(
            "GPU: the driver shows none; see nvidia-smi and CUDA_VISIBLE_DEVICES, or run with --device cpu",
        )),
        count => Ok(count as usize),
    }
}

impl Device {
    /// Opens the GPU of this number, as the driver counts, and loads all kernels.
    ///
    /// # Errors
    /// Where it is not there, too old, or lost.
    pub fn open(index: usize) -> Result<Device, Failure> {
        let count = count()?;
        if index >= count {
            return Err(Failure::new(format!(
                "GPU {index}: there is none; the driver shows {count}, numbered from 0; \
                 see nvidia-smi -L and CUDA_VISIBLE_DEVICES, or run with --device cpu"
            )));
        }
        let context = CudaContext::new(index).doing(index, "opening the GPU")?;
        let (major, minor) =
            context.compute_capability().doing(context.ordinal(), "asking for the compute capability")?;
        if (major, minor) < CAPABILITY_MIN {
            let name = context.name().unwrap_or_default();
            return Err(Failure::new(format!(
                "GPU {index}: {name} has compute capability {major}.{minor}, expected {}.{} (Ampere) or newer; \
                 run with --device cpu",
                CAPABILITY_MIN.0, CAPABILITY_MIN.1
            )));
        }
        let mut functions = HashMap::new();
        for &(ptx, names) in MODULES {
            let module = context.load_module(cudarc::nvrtc::Ptx::from_src(ptx)).doing(index, "loading kernels")?;
            for &name in names {
                functions.insert(name, module.load_function(name).doing(index, name)?);
            }
        }
        for &(name, bytes) in DYNAMIC_SHARED {
            let attribute = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            functions[name].set_attribute(attribute, bytes as i32).doing(index, name)?;
        }
        Ok(Device(Arc::new(Machine::Cuda { context, functions })))
    }

    /// Opens several, in this order.
    ///
    /// # Errors
    /// As [`Device::open`].
    pub fn open_all(indices: &[usize]) -> Result<Vec<Device>, Failure> {
        indices.iter().map(|&index| Device::open(index)).collect()
    }

    /// A processor that runs the kernels slowly.
    #[cfg(test)]
    pub(crate) fn emulated(emulator: crate::emulator::Emulator) -> Device {
        Device(Arc::new(Machine::Emulated(emulator)))
    }

    /// What the GPU calls itself.
    pub fn name(&self) -> String {
        match &*self.0 {
            Machine::Cuda { context, .. } => context.name().unwrap_or_else(|_| "a GPU without a name".into()),
            #[cfg(test)]
            Machine::Emulated(emulator) => emulator.name().into(),
        }
    }

    /// Its name, compute capability, memory, and the newest CUDA that the driver knows.
    ///
    /// # Errors
    /// Where it does not say.
    pub fn describe(&self) -> Result<String, Failure> {
        match &*self.0 {
            Machine::Cuda { context, .. } => {
                let (major, minor) =
                    context.compute_capability().doing(context.ordinal(), "asking for the compute capability")?;
                let memory = context.total_mem().doing(context.ordinal(), "asking for its memory")? / 1_000_000;
                let mut version = 0;
                // SAFETY: it writes one number.
                unsafe { sys::cuDriverGetVersion(&mut version) }
                    .result()
                    .doing(context.ordinal(), "asking for the driver's version")?;
                let (name, cuda) = (self.name(), (version / 1000, version % 1000 / 10));
                Ok(format!("{name}, compute capability {major}.{minor}, {memory} MB, CUDA {}.{}", cuda.0, cuda.1))
            }
            #[cfg(test)]
            Machine::Emulated(_) => Ok(self.name()),
        }
    }

    /// A queue of copies and launches.
    pub(crate) fn stream(&self) -> Result<Stream, Failure> {
        let queue = match &*self.0 {
            Machine::Cuda { context, .. } => Some(context.new_stream().doing(context.ordinal(), "opening a stream")?),
            #[cfg(test)]
            Machine::Emulated(_) => None,
        };
        Ok(Stream { device: self.clone(), queue })
    }

    /// Memory on the GPU for `len` values, all of them zero bytes.
    pub(crate) fn array<T: Plain>(&self, len: usize) -> Result<Array<T>, Failure> {
        let bytes = len.checked_mul(size_of::<T>()).expect("an array fits the address space").max(1);
        let address = match &*self.0 {
            Machine::Cuda { context, .. } => {
                let doing = format!("taking {} MB of its memory", bytes.div_ceil(1_000_000));
                context.bind_to_thread().doing(context.ordinal(), "binding a thread")?;
                // SAFETY: the size is not zero.
                let address = unsafe { result::malloc_sync(bytes) }.doing(context.ordinal(), &doing)?;
                // SAFETY: the memory is new and of this size.
                unsafe { result::memset_d8_sync(address, 0, bytes) }.doing(context.ordinal(), "clearing memory")?;
                // Its own stream clears it, and no other stream waits for that one.
                context.synchronize().doing(context.ordinal(), "clearing memory")?;
                address
            }
            #[cfg(test)]
            Machine::Emulated(emulator) => emulator
                .take(bytes)
                .ok_or(Failure { message: "emulation: no more memory".into(), out_of_memory: true })?,
        };
        Ok(Array { device: self.clone(), address, len, values: PhantomData })
    }

    /// Memory on the GPU with these values, for all streams to see.
    pub(crate) fn array_of<T: Plain>(&self, values: &[T]) -> Result<Array<T>, Failure> {
        let mut array = self.array(values.len())?;
        let stream = self.stream()?;
        // SAFETY: both live until `wait` has returned.
        unsafe { stream.upload(values, &mut array)? };
        stream.wait()?;
        Ok(array)
    }

    /// Memory of the host that the GPU copies from and to by itself.
    pub(crate) fn pinned<T: Plain>(&self, len: usize) -> Result<Pinned<T>, Failure> {
        let start = match &*self.0 {
            Machine::Cuda { context, .. } => {
                context.bind_to_thread().doing(context.ordinal(), "binding a thread")?;
                let bytes = len.checked_mul(size_of::<T>()).expect("an array fits the address space").max(1);
                // SAFETY: the size is not zero; the memory is filled below, before anyone reads it.
                let start = unsafe { result::malloc_host(bytes, 0) }
                    .doing(context.ordinal(), "pinning memory of the host")?
                    .cast::<T>();
                // SAFETY: so many bytes are there, and zero bytes are values.
                unsafe { start.write_bytes(0, len) };
                start
            }
            #[cfg(test)]
            Machine::Emulated(_) => Box::leak(vec![T::default(); len].into_boxed_slice()).as_mut_ptr(),
        };
        Ok(Pinned { device: self.clone(), start, len })
    }
}

/// Values in the memory of a GPU.
pub(crate) struct Array<T> {
    device: Device,
    address: u64,
    len: usize,
    values: PhantomData<T>,
}

impl<T> Array<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// As a kernel's argument.
    pub(crate) fn argument(&self) -> Argument {
        Argument(self.address)
    }
}

impl<T> Drop for Array<T> {
    fn drop(&mut self) {
        match &*self.device.0 {
            Machine::Cuda { context, .. } => {
                // A lost device cannot be told anything, and what was lost has been reported.
                let _ = context.bind_to_thread();
                // SAFETY: it was taken by `malloc_sync`, and whoever queued work on it has waited (see `Stream`); the
                // driver waits once more.
                let _ = unsafe { result::free_sync(self.address) };
            }
            #[cfg(test)]
            Machine::Emulated(emulator) => emulator.free(self.address),
        }
    }
}

/// Values in pinned memory of the host.
pub(crate) struct Pinned<T> {
    device: Device,
    start: *mut T,
    len: usize,
}

// SAFETY: it owns its memory, and values are plain.
unsafe impl<T: Plain> Send for Pinned<T> {}

impl<T: Plain> std::ops::Deref for Pinned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: so many values are there, initialised when they were taken.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T: Plain> std::ops::DerefMut for Pinned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        match &*self.device.0 {
            Machine::Cuda { context, .. } => {
                let _ = context.bind_to_thread();
                // SAFETY: it was taken by `malloc_host`, and whoever queued copies has waited (see `Stream`).
                let _ = unsafe { result::free_host(self.start.cast()) };
            }
            #[cfg(test)]
            Machine::Emulated(_) => {
                let values = std::ptr::slice_from_raw_parts_mut(self.start, self.len);
                // SAFETY: it was leaked from a box of this length.
                drop(unsafe { Box::from_raw(values) });
            }
        }
    }
}

/// A kernel's argument: a number or an address, in the low bytes.
#[derive(Clone, Copy)]
pub(crate) struct Argument(u64);

impl Argument {
    pub(crate) const NULL: Argument = Argument(0);
}

impl From<u32> for Argument {
    fn from(value: u32) -> Argument {
        Argument(u64::from(value))
    }
}

impl From<i32> for Argument {
    fn from(value: i32) -> Argument {
        Argument(u64::from(value as u32))
    }
}

impl From<f32> for Argument {
    fn from(value: f32) -> Argument {
        Argument(u64::from(value.to_bits()))
    }
}

impl From<f64> for Argument {
    fn from(value: f64) -> Argument {
        Argument(value.to_bits())
    }
}

/// How a kernel is spread out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) blocks: usize,
    pub(crate) threads: u32,
    pub(crate) shared: u32,
}

/// A queue of copies and launches, in order. Whatever is queued must live until [`Stream::wait`] has returned; a stream
/// that is dropped waits.
pub(crate) struct Stream {
    device: Device,
    /// None in emulation.
    queue: Option<Arc<CudaStream>>,
}

impl Stream {
    /// Queues a copy into the first places of an array.
    ///
    /// # Safety
    /// Neither side is touched or freed before the next [`Stream::wait`].
    pub(crate) unsafe fn upload<T: Plain>(&self, from: &[T], to: &mut Array<T>) -> Result<(), Failure> {
        assert!(from.len() <= to.len, "copy {} values into {}", from.len(), to.len);
        if from.is_empty() {
            return Ok(());
        }
        match &self.queue {
            Some(queue) => {
                queue.context().bind_to_thread().doing(queue.context().ordinal(), "binding a thread")?;
                // SAFETY: lengths were compared; the rest is the caller's promise.
                unsafe { result::memcpy_htod_async(to.address, from, queue.cu_stream()) }
                    .doing(queue.context().ordinal(), "copying to the GPU")
            }
            // SAFETY: emulated memory is memory of the host, and lengths were compared.
            None => unsafe {
                (to.address as *mut T).copy_from_nonoverlapping(from.as_ptr(), from.len());
                Ok(())
            },
        }
    }

    /// Queues a copy of an array's first places.
    ///
    /// # Safety
    /// Neither side is touched or freed before the next [`Stream::wait`].
    pub(crate) unsafe fn download<T: Plain>(&self, from: &Array<T>, to: &mut [T]) -> Result<(), Failure> {
        // SAFETY: the caller's promise.
        unsafe { self.download_at(from, 0, to) }
    }

    /// Queues a copy of an array's places from `start` on.
    ///
    /// # Safety
    /// Neither side is touched or freed before the next [`Stream::wait`].
    pub(crate) unsafe fn download_at<T: Plain>(
        &self,
        from: &Array<T>,
        start: usize,
        to: &mut [T],
    ) -> Result<(), Failure> {
        assert!(start <= from.len && to.len() <= from.len - start, "copy {} values out of {}", to.len(), from.len);
        let address = from.address + (start * size_of::<T>()) as u64;
        if to.is_empty() {
            return Ok(());
        }
        match &self.queue {
            Some(queue) => {
                queue.context().bind_to_thread().doing(queue.context().ordinal(), "binding a thread")?;
                // SAFETY: lengths were compared; the rest is the caller's promise.
                unsafe { result::memcpy_dtoh_async(to, address, queue.cu_stream()) }
                    .doing(queue.context().ordinal(), "copying from the GPU")
            }
            // SAFETY: emulated memory is memory of the host, and lengths were compared.
            None => unsafe {
                to.as_mut_ptr().copy_from_nonoverlapping(address as *const T, to.len());
                Ok(())
            },
        }
    }

    /// Queues a kernel.
    ///
    /// # Safety
    /// The arguments are those of the kernel's source, in number, order and type, and with this geometry it stays
    /// within the arrays, none of which is touched or freed before the next [`Stream::wait`].
    pub(crate) unsafe fn launch(
        &self,
        kernel: &'static str,
        geometry: Geometry,
        arguments: &mut [Argument],
    ) -> Result<(), Failure> {
        let Geometry { blocks, threads, shared } = geometry;
        let blocks = u32::try_from(blocks)
            .ok()
            .filter(|&blocks| blocks <= i32::MAX as u32)
            .expect("a grid is below 2^31 blocks");
        if blocks == 0 {
            return Ok(());
        }
        let mut pointers: Vec<_> =
            arguments.iter_mut().map(|argument| std::ptr::from_mut(&mut argument.0).cast()).collect();
        match (&*self.device.0, &self.queue) {
            (Machine::Cuda { context, functions }, Some(queue)) => {
                context.bind_to_thread().doing(context.ordinal(), "binding a thread")?;
                let (function, grid, block) = (functions[kernel].cu_function(), (blocks, 1, 1), (threads, 1, 1));
                // SAFETY: the function is loaded, the pointers are to its arguments; the rest is the caller's promise.
                unsafe { result::launch_kernel(function, grid, block, shared, queue.cu_stream(), &mut pointers) }
                    .doing(context.ordinal(), kernel)
            }
            #[cfg(test)]
            (Machine::Emulated(emulator), _) => {
                emulator.launch(kernel, blocks, threads, shared, &mut pointers);
                Ok(())
            }
            _ => unreachable!("a GPU's stream has a queue"),
        }
    }

    /// Waits for everything queued, also where queueing failed on the way; gives the first failure.
    pub(crate) fn wait_after(&self, queued: Result<(), Failure>) -> Result<(), Failure> {
        let waited = self.wait();
        queued.and(waited)
    }

    /// Waits for everything queued.
    pub(crate) fn wait(&self) -> Result<(), Failure> {
        self.queue
            .as_ref()
            .map_or(Ok(()), |queue| queue.synchronize().doing(queue.context().ordinal(), "waiting for the GPU"))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // What a lost device says was said by the call that lost it.
        let _ = self.wait();
    }
}

/// What tests run on: the GPU of this machine (where `REQUIRE_CUDA` is set, it must be there), and the emulation in
/// both orders.
#[cfg(test)]
pub(crate) fn machines() -> Vec<Device> {
    let gpu = match Device::open(0) {
        Ok(gpu) => Some(gpu),
        Err(failure) if std::env::var_os("REQUIRE_CUDA").is_some() => panic!("REQUIRE_CUDA is set; {failure}"),
        Err(failure) => {
            eprintln!("skipped on a GPU: {failure}");
            None
        }
    };
    let emulators = [false, true].into_iter().filter_map(crate::emulator::Emulator::new);
    gpu.into_iter().chain(emulators.map(Device::emulated)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_not_there_is_refused_with_what_to_do() {
        let said = match count() {
            Ok(count) => Device::open(count).unwrap_err().message,
            Err(failure) => failure.message,
        };
        assert!(said.contains("numbered from 0") || said.contains("--device cpu"), "{said}");
    }
}
