// Sequential, and the plan of a network: tables of constants, and a function that runs each row.
//   Sequential<Input<1, 28, 28>, Conv2d<32, Kernel<3>, Padding<1>>, ReLU, MaxPool2d<2>, Flatten, Linear<10>>
// A layer that does not fit gives one compile error, at the start of Sequential. A Sequential inside of another one is
// equivalent to its layers. It has no Input.
// SPDX-License-Identifier: MIT
#pragma once

#include "tenon/plan/layer_context.hpp"

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

// Element number `Element` of a list (see plan::Size), as the type Where<Index, L>. An element inside of a Residual or a
// Sequential becomes layer<Index, body<Index, L>>, layer<Index, skip<Index, L>> or layer<Index, layer<Index, L>>.
template <int Element, template <int, class> class Where, class... Ls>
struct Locate;

template <int Index, int Element, template <int, class> class Where, class L>
struct LocateIn {
  using type = Where<Index, L>;
};
template <int Index, int Element, template <int, class> class Where, class... B, class... S>
struct LocateIn<Index, Element, Where, Residual<Body<B...>, Skip<S...>>> {
  static constexpr int in_body = LowerList<B...>::size.elements;
  static constexpr auto inner() {
    if constexpr (Element == 0)
      return static_cast<Where<Index, Residual<Body<B...>, Skip<S...>>>*>(nullptr);
    else if constexpr (Element <= in_body)
      return static_cast<Where<Index, typename Locate<Element - 1, body, B...>::type>*>(nullptr);
    else
      return static_cast<Where<Index, typename Locate<Element - 1 - in_body, skip, S...>::type>*>(nullptr);
  }
  using type = std::remove_pointer_t<decltype(inner())>;
};
template <int Index, int Element, template <int, class> class Where, class... B>
struct LocateIn<Index, Element, Where, Residual<B...>> : LocateIn<Index, Element, Where, Residual<Body<B...>, Skip<>>> {
};
template <int Index, int Element, template <int, class> class Where, class... Ls>
struct LocateIn<Index, Element, Where, Sequential<Ls...>> {
  static constexpr auto inner() {
    if constexpr (Element == 0)
      return static_cast<Where<Index, Sequential<Ls...>>*>(nullptr);
    else
      return static_cast<Where<Index, typename Locate<Element - 1, diagnostics::layer, Ls...>::type>*>(nullptr);
  }
  using type = std::remove_pointer_t<decltype(inner())>;
};

template <int Element, template <int, class> class Where, class... Ls>
struct Locate {
  struct Place {
    int index, element;
  };
  static constexpr Place place = [] {
    const int elements[] = {Lower<Ls>::size.elements...};
    Place p{0, Element};
    while (p.element >= elements[p.index]) p.element -= elements[p.index++];
    return p;
  }();
  using type = typename LocateIn<place.index, place.element, Where, typename Nth<place.index, Ls...>::type>::type;
};

}  // namespace detail

template <diagnostics::Misfit M, int Element, class... Ls>
constexpr bool fit() {
  if constexpr (!bool(M))
    return true;
  else if constexpr (Element < 0)
    return diagnostics::complain<Input<>, M>();
  else
    return diagnostics::complain<typename detail::Locate<Element, diagnostics::layer, Ls...>::type, M>();
}

}  // namespace plan

/// A network: Input<...>, which is the shape of one sample, and the layers. Without Input it is a part of another network.
template <int... D, class... Ls>
struct Sequential<Input<D...>, Ls...> {
  static constexpr auto graph = plan::lower<Input<D...>, Ls...>();
  static_assert(plan::fit<graph.misfit, graph.misfit_element, Ls...>());

  static constexpr auto layout = plan::lay_out(graph);
  static constexpr int layers = sizeof...(Ls);  // of the outermost list
  static constexpr Dims input = graph.input, output = graph.output;
  /// The number of trained values, without padding.
  static constexpr long long parameter_count = [] {
    long long n = 0;
    for (int k = 0; k < graph.count; ++k)
      for (int i = 0; i < graph.nodes[k].spec.param_count; ++i) n += graph.nodes[k].spec.params[i].dims.count();
    return n;
  }();

  /// Calls f with the pack as template arguments: f.template operator()<Ls...>().
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

namespace plan {

/// The graph of a list without Input: one error, then a network without layers, which causes no second error.
template <class... Ls>
constexpr auto without_input() {
  constexpr bool somewhere = (tenon::detail::is_input<Ls> || ...);
  diagnostics::complain<diagnostics::layer<0, typename detail::Nth<0, Ls..., void>::type>,
                        diagnostics::expected<somewhere ? Need::Input_only_at_the_front : Need::Input_at_the_front>,
                        diagnostics::got<>,
                        diagnostics::try_this<somewhere ? Remedy::move_Input_to_the_front
                                                        : Remedy::begin_with_Input_of_the_shape_of_one_sample>>();
  return Sequential<Input<1>>::graph;
}

}  // namespace plan

/// A Sequential without a leading Input is a part of a network. Using it as a network is an error. The error is therefore
/// in the initializer of `graph`, which compilers instantiate only in that case (with a type of auto they always would).
template <class... Ls>
struct Sequential : Sequential<Input<1>> {
  static constexpr std::remove_const_t<decltype(Sequential<Input<1>>::graph)> graph = plan::without_input<Ls...>();
};

namespace plan {

/// The functions of one row.
template <class Device, class T>
struct Ops {
  using Run = void (*)(ModelContext<Device, T>&, const StepOffsets&);
  Run prepare = nullptr, forward = nullptr, backward = nullptr;
};

template <class L, KernelKey K, class Device, class T>
void prepare_step(ModelContext<Device, T>& c, const StepOffsets& r) {
  LayerContext<L, K, false, Device, T> at(c, r);
  L::prepare(*c.dev, at);
}

template <class L, KernelKey K, bool Training, class Device, class T>
void forward_step(ModelContext<Device, T>& c, const StepOffsets& r) {
  ForwardContext<L, K, Training, Device, T> at(c, r);
  L::forward(*c.dev, at);
}

template <class L, KernelKey K, bool HasDx, class Device, class T>
void backward_step(ModelContext<Device, T>& c, const StepOffsets& r) {
  BackwardContext<L, K, Device, T, HasDx> at(c, r);
  L::backward(*c.dev, at);
}

/// A layer that rearranges its weights has a member `static void prepare(auto& device, const auto& at)`.
template <class L, class Context, class Device>
inline constexpr bool has_prepare = requires(Device& dev, const Context& at) {
  L::prepare(dev, at);
};

template <class L, class Context, class Device>
inline constexpr bool can_forward = requires(Device& dev, Context& at) {
  L::forward(dev, at);
};
template <class L, class Context, class Device>
inline constexpr bool can_backward = requires(Device& dev, Context& at) {
  L::backward(dev, at);
};

template <class L, KernelKey K, bool Training, bool Backward, bool HasDx, class Device, class T>
constexpr Ops<Device, T> ops_of() {
  using diagnostics::Misfit;
  Ops<Device, T> ops;
  if constexpr (has_prepare<L, LayerContext<L, K, false, Device, T>, Device>)
    ops.prepare = &prepare_step<L, K, Device, T>;
  if constexpr (can_forward<L, ForwardContext<L, K, Training, Device, T>, Device>)
    ops.forward = &forward_step<L, K, Training, Device, T>;
  else
    diagnostics::complain<L,
                          Misfit{Need::static_forward_of_device_and_context, Remedy::see_docs_adding_a_layer, K.in}>();
  if constexpr (Backward) {
    if constexpr (can_backward<L, BackwardContext<L, K, Device, T, HasDx>, Device>)
      ops.backward = &backward_step<L, K, HasDx, Device, T>;
    else
      diagnostics::complain<L, Misfit{Need::static_backward_of_device_and_context, Remedy::see_docs_adding_a_layer,
                                      K.in}>();
  }
  return ops;
}

/// The part of the plan that becomes template arguments. step: the index of a node's step; -1: absorbed or removed.
template <int N>
struct Keys {
  KernelKey key[N]{};
  int step[N]{};
  bool backward[N]{};
  bool has_dx[N]{};  // its backward pass writes the gradient of its input
};

template <int N>
constexpr Keys<N> keys_of(const Graph<N>& g, const Steps<N>& s, const Memory<N>& m) {
  Keys<N> k;
  for (int n = 0; n < N; ++n) k.step[n] = -1;
  for (int i = 0; i < s.count; ++i) {
    const Step& step = s.step[i];
    k.key[step.node] = {g.nodes[step.node].in_dims, g.nodes[step.last].spec.out, step.epilogue};
    k.step[step.node] = i;
    k.backward[step.node] = m.row[i].backward;
    k.has_dx[step.node] = m.row[i].dx != no_offset;
  }
  return k;
}

/// Fills AskSizes for a device, in the order in which lower() creates the nodes.
template <class Device>
struct SizesOn {
  using Ask = WorkspaceSizes (*)(Dims, kernels::Epilogue);

  template <class L>
  struct Of {
    static constexpr void run(Ask*& to) { *to++ = &tenon::detail::workspace_sizes_of<L, Device>; }
  };
  template <class... B, class... S>
  struct Of<Residual<Body<B...>, Skip<S...>>> {
    static constexpr void run(Ask*& to) {
      list<B...>(to);
      list<S...>(to);
      Of<Add>::run(to);
    }
  };
  template <class... B>
  struct Of<Residual<B...>> : Of<Residual<Body<B...>, Skip<>>> {};
  template <class... Ls>
  struct Of<Sequential<Ls...>> {
    static constexpr void run(Ask*& to) { list<Ls...>(to); }
  };

  template <class... Ls>
  static constexpr void list(Ask*& to) {
    if constexpr (sizeof...(Ls) > 0) {
      constexpr void (*run[sizeof...(Ls)])(Ask*&) = {&Of<Ls>::run...};
      for (unsigned i = 0; i < sizeof...(Ls); ++i) run[i](to);
    }
  }

  template <class Net>
  static constexpr auto all() {
    AskSizes<sizeof(Net::graph.nodes) / sizeof(Node)> ask;
    if constexpr (Net::graph.count > 0) {
      Ask* to = ask.of;
      if constexpr (Net::graph.lead > 0) Of<ToChannelsLast>::run(to);
      Net::visit([&to]<class... Ls>() { list<Ls...>(to); });
      if constexpr (order_matters(Net::graph.output)) Of<ToChannelsFirst>::run(to);
    }
    return ask;
  }
};

/// The plan of a network on a device. The device affects only the sizes of packed weights, workspace and scratch.
template <class Net, class Device, Mode M>
struct Plan {
  static constexpr int nodes = sizeof(Net::graph.nodes) / sizeof(Node);
  static constexpr Mode mode = M;
  static constexpr Steps<nodes> steps = fuse(Net::graph, M);
  static constexpr Memory<nodes> memory =
      plan_memory(Net::graph, Net::layout, steps, M, SizesOn<Device>::template all<Net>());
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
      t.op[P::keys.step[Node]] = ops_of<L, P::keys.key[Node], P::mode != Mode::eval, P::keys.backward[Node],
                                        P::keys.has_dx[Node], Device, T>();
  }

  template <class L, int Node>
  struct Bind {
    static constexpr void run(Table& t) { bind_leaf<L, Node>(t); }
  };
  template <class... Ls, int Node>
  struct Bind<Sequential<Ls...>, Node> {
    static constexpr void run(Table& t) { bind_all<Node, Ls...>(t); }
  };
  template <class... B, class... S, int Node>
  struct Bind<Residual<Body<B...>, Skip<S...>>, Node> {
    static constexpr void run(Table& t) {
      constexpr int skip = Node + LowerList<B...>::size.nodes, accumulate = skip + LowerList<S...>::size.nodes;
      bind_all<Node, B...>(t);
      bind_all<skip, S...>(t);
      bind_leaf<Add, accumulate>(t);
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
    const int count[] = {Lower<Ls>::size.nodes..., 0};
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
