/*
 * The smallest program worth putting into an image: it says which platform it was built for.
 *
 * It has no libc and makes two system calls, write and exit, so that the result is one static file of about a kilobyte
 * which needs nothing else in the image. `rebuild` beside this file compiles it for every platform of larder.toml.
 */

#if defined(__x86_64__)

#define PLATFORM "linux/amd64"
#define SYS_WRITE 1
#define SYS_EXIT 60

static long call(long number, long first, const void *second, long third)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(first), "S"(second), "d"(third)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__aarch64__)

#define PLATFORM "linux/arm64"
#define SYS_WRITE 64
#define SYS_EXIT 93

static long call(long number, long first, const void *second, long third)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = first;
	register const void *x1 __asm__("x1") = second;
	register long x2 __asm__("x2") = third;

	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
	return x0;
}

#elif defined(__ARM_ARCH_7A__) && defined(__ARM_EABI__)

#define PLATFORM "linux/arm/v7"
#define SYS_WRITE 4
#define SYS_EXIT 1

static long call(long number, long first, const void *second, long third)
{
	register long r7 __asm__("r7") = number;
	register long r0 __asm__("r0") = first;
	register const void *r1 __asm__("r1") = second;
	register long r2 __asm__("r2") = third;

	__asm__ volatile("svc #0" : "+r"(r0) : "r"(r7), "r"(r1), "r"(r2) : "memory");
	return r0;
}

#else
#error "hello.c knows linux/amd64, linux/arm64 and linux/arm/v7"
#endif

static const char greeting[] = "hello from larder: " PLATFORM "\n";

/* The kernel enters here; there is nothing to return to. */
__attribute__((noreturn)) void _start(void)
{
	const char *rest = greeting;
	long left = sizeof greeting - 1;
	long status = 0;

	while (left > 0) {
		long written = call(SYS_WRITE, 1, rest, left);

		if (written <= 0) {
			status = 1;
			break;
		}
		rest += written;
		left -= written;
	}
	for (;;)
		call(SYS_EXIT, status, 0, 0);
}
