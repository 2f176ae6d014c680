"""Layers that stand together: under one pair of scopes, with the same things after convolutions."""

from dataclasses import dataclass, replace
from typing import Literal

from flatshot.models.activations import activate
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.hyperparams import Activation, Hyperparams
from flatshot.models.layers import (
    Kernel,
    Padding,
    conv2d,
    depthwise_conv2d,
    pool,
    separable_conv2d,
)


@dataclass(frozen=True)
class Scoped:
    """Makes layers under the prefixes `variables` and `operations`.

    Attributes:
        builder: the graph to add to.
        variables: the prefix of the variables' names.
        operations: the prefix of the operations' names.
        hyperparams: what follows convolutions.
        padding: how they are padded, unless one says otherwise.
    """

    builder: GraphBuilder
    variables: str
    operations: str
    hyperparams: Hyperparams
    padding: Padding = "SAME"

    def inner(self, name: str) -> "Scoped":
        """The scope `name` in this one."""
        return replace(
            self, variables=f"{self.variables}/{name}", operations=f"{self.operations}/{name}"
        )

    def following(self, activation: Activation) -> "Scoped":
        """This scope with another activation after convolutions."""
        return replace(self, hyperparams=replace(self.hyperparams, activation=activation))

    def activate(self, net: Tensor) -> Tensor:
        """`net` after this scope's activation."""
        return activate(self.builder, net, self.operations, self.hyperparams.activation)

    def conv(
        self,
        net: Tensor,
        name: str,
        depth: int,
        kernel: Kernel = 1,
        stride: int = 1,
        padding: Padding | None = None,
    ) -> Tensor:
        """A convolution `name` to `depth` channels."""
        return conv2d(
            *(self.builder, net, depth, kernel, stride, f"{self.operations}/{name}"),
            self.hyperparams,
            variable_scope=f"{self.variables}/{name}",
            padding=padding or self.padding,
        )

    def depthwise(
        self,
        net: Tensor,
        name: str,
        kernel: Kernel = 3,
        stride: int = 1,
        padding: Padding | None = None,
    ) -> Tensor:
        """A depthwise convolution `name`."""
        return depthwise_conv2d(
            *(self.builder, net, kernel, stride, f"{self.operations}/{name}"),
            self.hyperparams,
            variable_scope=f"{self.variables}/{name}",
            padding=padding or self.padding,
        )

    def separable(
        self,
        net: Tensor,
        name: str,
        depth: int,
        kernel: Kernel = 3,
        stride: int = 1,
        multiplier: int = 1,
    ) -> Tensor:
        """A separable convolution `name` to `depth` channels."""
        return separable_conv2d(
            *(self.builder, net, depth, kernel, stride, f"{self.operations}/{name}"),
            self.hyperparams,
            variable_scope=f"{self.variables}/{name}",
            padding=self.padding,
            multiplier=multiplier,
        )

    def pool(
        self,
        net: Tensor,
        op: Literal["MaxPool", "AvgPool"],
        name: str,
        kernel: Kernel,
        stride: int,
        padding: Padding | None = None,
    ) -> Tensor:
        """The pooling operator `name`."""
        return pool(
            *(self.builder, net, op, kernel, stride, f"{self.operations}/{name}"),
            padding=padding or self.padding,
        )
