// Sequential, and the plan of a network: tables of constants, and beside each row the function that runs it.
//   Sequential<Input<1, 28, 28>, Conv2d<32, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>, Flatten, Linear<10>>
// Layers are a flat pack. A layer that does not fit is one compile error, at the head of Sequential.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/plan/at.hpp"

namespace tenon {

namespace plan {

template <int Index, class L>
struct body;
template <int Index, class L>
struct skip;

namespace detail {

template <int I, class L, class... Ls>
struct Nth : Nth<I - 1, Ls...> {};
template <class L, class... Ls>
struct Nth<0, L, Ls...> {
  using type = L;
};

// The layer at a path, spelt as where<Index, Layer>, or nested inside the Residual's.
template <Path P, int At, template <int, class> class Where, class... Ls>
struct Locate;

template <Path P, int At, template <int, class> class Where, class L>
struct LocateIn {
  using type = Where<P.at[At], L>;
};
template <Path P, int At, template <int, class> class Where, class... B, class... S>
struct LocateIn<P, At, Where, Residual<Body<B...>, Skip<S...>>> {
  static constexpr auto inner() {
    if constexpr (P.length <= At + 2)
      return static_cast<Where<P.at[At], Residual<Body<B...>, Skip<S...>>>*>(nullptr);
    else if constexpr (P.at[At + 1] == Path::body)
      return static_cast<Where<P.at[At], typename Locate<P, At + 2, body, B...>::type>*>(nullptr);
    else
      return static_cast<Where<P.at[At], typename Locate<P, At + 2, skip, S...>::type>*>(nullptr);
  }
  using type = std::remove_pointer_t<decltype(inner())>;
};
template <Path P, int At, template <int, class> class Where, class... B>
struct LocateIn<P, At, Where, Residual<B...>> : LocateIn<P, At, Where, Residual<Body<B...>, Skip<>>> {};

template <Path P, int At, template <int, class> class Where, class... Ls>
struct Locate : LocateIn<P, At, Where, typename Nth<P.at[At], Ls...>::type> {};

}  // namespace detail

/// A function template, so that compilers print its arguments first, and only when something is wrong.
template <class Where, class Expected, class Got, class Try>
constexpr bool complain() {
  static_assert(fits<Where, Expected, Got, Try>, "tenon: this layer cannot take that input");
  return true;
}

template <Misfit M, Path P, class... Ls>
constexpr bool fit() {
  using namespace tenon::detail;
  if constexpr (!bool(M))
    return true;
  else if constexpr (P.length == 0)
    return complain<Input<>, expected<M.need>, got_of<M.got>, try_this<M.remedy>>();
  else
    return complain<typename detail::Locate<P, 0, layer, Ls...>::type, expected<M.need>, got_of<M.got>,
                    try_this<M.remedy>>();
}

}  // namespace plan

/// A network: Input<...>, the shape of one sample, and the layers it goes through.
template <class... Ls>
struct Sequential;

template <int... D, class... Ls>
struct Sequential<Input<D...>, Ls...> {
  static constexpr auto graph = plan::lower<Input<D...>, Ls...>();
  static_assert(plan::fit<graph.misfit, graph.misfit_path, Ls...>());

  static constexpr auto layout = plan::lay_out(graph);
  static constexpr int layers = sizeof...(Ls);
  static constexpr Dims input = graph.input, output = graph.output;
  /// Trained values, without padding.
  static constexpr long long parameter_count = [] {
    long long n = 0;
    for (int k = 0; k < graph.count; ++k)
      for (int i = 0; i < graph.nodes[k].spec.param_count; ++i) n += graph.nodes[k].spec.params[i].dims.count();
    return n;
  }();

  /// Applies F to the pack: F::template run<Ls...>().
  template <class F>
  static constexpr auto visit(F f) {
    return f.template operator()<Ls...>();
  }
};

namespace detail {

template <class L>
inline constexpr bool is_input = false;
template <int... D>
inline constexpr bool is_input<Input<D...>> = true;

}  // namespace detail

/// Without an Input in front there is one error, and then the network of no layers, so that there is not a second.
template <class... Ls>
struct Sequential : Sequential<Input<1>> {
  static constexpr bool somewhere = (detail::is_input<Ls> || ...);
  static_assert(plan::complain<layer<0, typename plan::detail::Nth<0, Ls..., void>::type>,
                               expected<somewhere ? Need::Input_only_at_the_front : Need::Input_at_the_front>, got<>,
                               try_this<somewhere ? Remedy::move_Input_to_the_front
                                                  : Remedy::begin_with_Input_of_the_shape_of_one_sample>>());
};

namespace plan {

/// The functions behind a row.
template <class Device, class T>
struct Ops {
  using Run = void (*)(Context<Device, T>&, const Row&);
  Run prepare = nullptr, forward = nullptr, backward = nullptr;
};

template <class L, Key K, class Device, class T>
void prepare_step(Context<Device, T>& c, const Row& r) {
  At<L, K, false, Device, T> at(c, r);
  L::prepare(*c.dev, at);
}

template <class L, Key K, bool Training, class Device, class T>
void forward_step(Context<Device, T>& c, const Row& r) {
  ForwardAt<L, K, Training, Device, T> at(c, r);
  L::forward(*c.dev, at);
}

template <class L, Key K, class Device, class T>
void backward_step(Context<Device, T>& c, const Row& r) {
  BackwardAt<L, K, Device, T> at(c, r);
  L::backward(*c.dev, at);
}

/// A layer that rearranges its weights says so by a member `static void prepare(auto& device, const auto& at)`.
template <class L, class At, class Device>
inline constexpr bool has_prepare = requires(Device& dev, const At& at) {
  L::prepare(dev, at);
};

template <class L, Key K, bool Training, bool Backward, class Device, class T>
constexpr Ops<Device, T> ops_of() {
  Ops<Device, T> ops;
  if constexpr (has_prepare<L, At<L, K, false, Device, T>, Device>) ops.prepare = &prepare_step<L, K, Device, T>;
  ops.forward = &forward_step<L, K, Training, Device, T>;
  if constexpr (Backward) ops.backward = &backward_step<L, K, Device, T>;
  return ops;
}

/// The small table that types are made from, copied once out of the plan. A step's index, or -1: absorbed or vanished.
template <int N>
struct Keys {
  Key key[N]{};
  int step[N]{};
  bool backward[N]{};
};

template <int N>
constexpr Keys<N> keys_of(const Graph<N>& g, const Steps<N>& s, const Memory<N>& m) {
  Keys<N> k;
  for (int n = 0; n < N; ++n) k.step[n] = -1;
  for (int i = 0; i < s.count; ++i) {
    const Step& step = s.step[i];
    k.key[step.node] = {g.nodes[step.node].in_dims, g.nodes[step.last].spec.out, step.fuse};
    k.step[step.node] = i;
    k.backward[step.node] = m.row[i].backward;
  }
  return k;
}

template <class Net, Mode M>
struct Plan {
  static constexpr int nodes = sizeof(Net::graph.nodes) / sizeof(Node);
  static constexpr Mode mode = M;
  static constexpr Steps<nodes> steps = fuse(Net::graph, M);
  static constexpr Memory<nodes> memory = plan_memory(Net::graph, Net::layout, steps, M);
  static constexpr Keys<nodes> keys = keys_of(Net::graph, steps, memory);
};

template <class P, class Device, class T>
struct Program {
  using Op = Ops<Device, T>;
  struct Table {
    Op op[P::nodes]{};
  };

  template <class L, int Node>
  static constexpr void bind_leaf(Table& t) {
    if constexpr (P::keys.step[Node] >= 0)
      t.op[P::keys.step[Node]] =
          ops_of<L, P::keys.key[Node], P::mode != Mode::eval, P::keys.backward[Node], Device, T>();
  }

  template <class L, int Node>
  struct Bind {
    static constexpr void run(Table& t) { bind_leaf<L, Node>(t); }
  };
  template <class... B, class... S, int Node>
  struct Bind<Residual<Body<B...>, Skip<S...>>, Node> {
    static constexpr void run(Table& t) {
      constexpr int skip = Node + LowerList<B...>::nodes, add = skip + LowerList<S...>::nodes;
      bind_all<Node, B...>(t);
      bind_all<skip, S...>(t);
      bind_leaf<Add, add>(t);
    }
  };
  template <class... B, int Node>
  struct Bind<Residual<B...>, Node> : Bind<Residual<Body<B...>, Skip<>>, Node> {};

  template <class... Ls>
  struct Starts {
    int at[sizeof...(Ls) + 1]{};
  };
  template <int First, class... Ls>
  static constexpr Starts<Ls...> starts() {
    Starts<Ls...> s;
    const int count[] = {Lower<Ls>::nodes..., 0};
    s.at[0] = First;
    for (unsigned i = 0; i < sizeof...(Ls); ++i) s.at[i + 1] = s.at[i] + count[i];
    return s;
  }

  template <int First, class... Ls>
  static constexpr void bind_all(Table& t) {
    bind_each<First, Ls...>(t, std::make_integer_sequence<int, sizeof...(Ls)>{});
  }
  template <int First, class... Ls, int... I>
  static constexpr void bind_each(Table& t, std::integer_sequence<int, I...>) {
    if constexpr (sizeof...(Ls) > 0) {
      constexpr Starts<Ls...> s = starts<First, Ls...>();
      constexpr void (*bind[sizeof...(Ls)])(Table&) = {&Bind<Ls, s.at[I]>::run...};
      for (unsigned i = 0; i < sizeof...(Ls); ++i) bind[i](t);
    }
  }

  template <class Net>
  static constexpr Table table() {
    Table t;
    if constexpr (Net::graph.count > 0) {
      if constexpr (Net::graph.lead > 0) bind_leaf<ToChannelsLast, 0>(t);
      Net::visit([&t]<class... Ls>() { bind_all<Net::graph.lead, Ls...>(t); });
      if constexpr (order_matters(Net::graph.output)) bind_leaf<ToChannelsFirst, Net::graph.count - 1>(t);
    }
    return t;
  }
};

}  // namespace plan
}  // namespace tenon
