// SPDX-License-Identifier: Apache-2.0
// Something for a compiler to be busy with for some seconds: deep in its library, and everywhere in it.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

template <int N> struct node {
	std::map<int, std::vector<node<N - 1>>> below;
	std::unordered_map<std::string, std::shared_ptr<node<N - 1>>> named;
	std::string text() const
	{
		std::ostringstream out;
		std::set<std::tuple<int, std::string>> seen;
		for (const auto &[key, nodes] : below)
			for (const auto &one : nodes)
				seen.emplace(key + N, one.text());
		for (const auto &[name, one] : named)
			seen.emplace(N, name + (one ? one->text() : ""));
		for (const auto &[key, part] : seen)
			out << key << std::regex_replace(part, std::regex("a+(b|c)*"), "x");
		return out.str();
	}
};

template <> struct node<0> {
	std::string text() const
	{
		return "0";
	}
};

int main()
{
	std::cout << node<24>().text() << std::endl;
}
