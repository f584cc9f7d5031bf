// SPDX-License-Identifier: Apache-2.0
// Exceptions in flight, most of whose time is spent in the unwinders of libgcc and libstdc++,
// and names that only a demangler can tell.
#include "edges.h"

#include <stdexcept>
#include <vector>

namespace edges
{
struct guard {
	explicit guard(uint64_t &count) : count_(count) {}
	__attribute__((noinline)) ~guard() { count_++; }
	uint64_t &count_;
};

template <typename T, int N> struct thrower {
	__attribute__((noinline)) static void leaf_throw(uint64_t &count)
	{
		guard guard(count);
		if (N == 0)
			throw T("thrown");
		thrower<T, N == 0 ? 0 : N - 1>::leaf_throw(count);
		CALLED_BEFORE_THIS();
	}
};

template <typename T> struct holder {
	template <typename F> __attribute__((noinline)) void each(F function)
	{
		for (auto &item : items)
			function(item);
		CALLED_BEFORE_THIS();
	}
	std::vector<T> items;
};
} // namespace edges

EDGE void leaf_cxx(uint64_t rounds)
{
	SPIN(rounds);
}

EDGE void call_throw()
{
	uint64_t count = 0;

	for (;;) {
		try {
			edges::thrower<std::runtime_error, 3>::leaf_throw(count);
		} catch (const std::exception &) {
			CALLED_BEFORE_THIS();
		}
	}
}

struct spinner {
	__attribute__((noinline)) void operator()(std::pair<int, uint64_t> &item)
	{
		leaf_cxx(item.second);
		CALLED_BEFORE_THIS();
	}
};

EDGE void call_templates()
{
	edges::holder<std::pair<int, uint64_t>> holder;

	holder.items.assign(3, {1, A_WHILE});
	for (;;)
		holder.each(spinner());
}

MAIN({"throw", call_throw}, {"templates", call_templates})
