"""The MMS services of a simulated IED over its model. [zone: field, simulated]"""

from __future__ import annotations

from typing import Any

from pilots.simulators.iec61850 import model
from pilots.simulators.iec61850.library import mms
from pilots.simulators.iec61850.model import Branch, Leaf, Member, Model

#: Names in one answer to a name list: long lists come in pages, as of real devices.
PAGE = 100
_MISSING = mms.AccessError.OBJECT_NON_EXISTENT
_NOT_THERE = mms.DataAccessError.OBJECT_NON_EXISTENT
IDENTITY = mms.IdentifyResponse("INVADE SCADA", "simulated IED", "1", None)


class Services:
    """Answers the confirmed requests of every client of one device."""

    def __init__(self, tree: Model) -> None:
        self.tree = tree

    async def answer(self, connection: Any, request: Any) -> Any:
        if isinstance(request, mms.StatusRequest):
            return mms.StatusResponse(0, 0)
        if isinstance(request, mms.IdentifyRequest):
            return IDENTITY
        if isinstance(request, mms.GetNameListRequest):
            return self._name_list(request)
        if isinstance(request, mms.GetVariableAccessAttributesRequest):
            return self._type(request.value)
        if isinstance(request, mms.GetNamedVariableListAttributesRequest):
            return self._members(request.value)
        if isinstance(request, mms.ReadRequest):
            return self._read(connection, request.value)
        if isinstance(request, mms.WriteRequest):
            return await self._write(connection, request)
        return mms.AccessError.OBJECT_ACCESS_UNSUPPORTED

    def _name_list(self, request: Any) -> Any:
        names = self._names(request.object_class, request.object_scope)
        if names is None:
            return _MISSING
        first = names.index(request.continue_after) + 1 if request.continue_after in names else 0
        return mms.GetNameListResponse(names[first : first + PAGE], len(names) > first + PAGE)

    def _names(self, object_class: Any, scope: Any) -> list[str] | None:
        if object_class is mms.ObjectClass.DOMAIN:
            return sorted(self.tree.domains)
        if not isinstance(scope, mms.DomainSpecificObjectScope) or scope.identifier not in self.tree.domains:
            return [] if isinstance(scope, mms.VmdSpecificObjectScope) else None
        if object_class is mms.ObjectClass.NAMED_VARIABLE_LIST:
            return sorted(member.item for member in self.tree.data_sets if member.domain == scope.identifier)
        return self.tree.names(scope.identifier) if object_class is mms.ObjectClass.NAMED_VARIABLE else []

    def _type(self, name: Any) -> Any:
        node = self._node(name)
        return _MISSING if node is None else mms.GetVariableAccessAttributesResponse(False, model.type_of(node))

    def _members(self, name: Any) -> Any:
        listed = self._data_set(name)
        if listed is None:
            return _MISSING
        variables = [mms.NameVariableSpecification(mms.DomainSpecificObjectName(*member)) for member in listed]
        return mms.GetNamedVariableListAttributesResponse(False, variables)

    def _read(self, connection: Any, asked: Any) -> Any:
        if isinstance(asked, mms.ObjectName):
            listed = self._data_set(asked)
            if listed is None:
                return _MISSING
            return mms.ReadResponse([self._value(connection, self.tree.find(*member)) for member in listed])
        return mms.ReadResponse([self._value(connection, self._node(_name_in(variable))) for variable in asked])

    def _value(self, connection: Any, node: model.Node | None) -> Any:
        if node is None:
            return _NOT_THERE
        if isinstance(node, Leaf) and node.on_read is not None:
            return node.on_read(connection)
        return model.data_of(node)

    async def _write(self, connection: Any, request: Any) -> Any:
        if isinstance(request.specification, mms.ObjectName):
            return mms.AccessError.OBJECT_ACCESS_UNSUPPORTED
        results = []
        for variable, data in zip(request.specification, request.data, strict=False):
            node = self._node(_name_in(variable))
            if node is None:
                results.append(_NOT_THERE)
            elif node.on_write is None:
                results.append(mms.DataAccessError.OBJECT_ACCESS_DENIED)
            else:
                results.append(await node.on_write(connection, data))
        return mms.WriteResponse(results)

    def _node(self, name: Any) -> Leaf | Branch | None:
        if not isinstance(name, mms.DomainSpecificObjectName):
            return None
        return self.tree.find(name.domain_id, name.item_id)

    def _data_set(self, name: Any) -> list[Member] | None:
        if not isinstance(name, mms.DomainSpecificObjectName):
            return None
        return self.tree.data_sets.get(Member(name.domain_id, name.item_id))


def _name_in(variable: Any) -> Any:
    return variable.name if isinstance(variable, mms.NameVariableSpecification) else None
