"""What asks other systems for data, and each time that it did."""

from __future__ import annotations

from intercom_sandbox.resource import Resource, TimeFilter
from intercom_sandbox.resource_sample import DAY, Sample


def _data_connectors(sample: Sample) -> None:
    """Connectors with their calls."""
    for number, name in enumerate(("Order status", "Refunds", "Weather")):
        method = ("get", "post", "get")[number]
        connector_id = sample.add(
            "data_connectors",
            name=name,
            description=sample.maybe(f"Asks the shop for: {name}"),
            state="draft" if number == 2 else "live",
            http_method=method,
            direct_fin_usage=number == 0,
            created_by_admin_id=sample.chance.choice(sample.admin_ids),
            updated_by_admin_id=sample.chance.choice(sample.admin_ids),
            **sample.times(number, 3),
        )
        sample.workspace.update_record(
            "data_connectors",
            connector_id,
            execution_results_url=f"/data_connectors/{connector_id}/execution_results",
            updated_at=sample.times(number, 3)["updated_at"],
        )
        for run in range(0 if number == 2 else sample.count):
            failed = run % 5 == 4
            sample.add(
                "data_connector_executions",
                data_connector_id=connector_id,
                http_method=method,
                success=not failed,
                http_status=None if failed else 200,
                error_type="3rd_party_error" if failed else None,
                error_message="Connection refused" if failed else None,
                execution_time_ms=sample.chance.randint(40, 900),
                source_type=sample.chance.choice(("workflow", "inbox", "fin")),
                source_id=sample.maybe("5001"),
                conversation_id=sample.maybe("215470001"),
                request_url="https://shop.example.com/orders",
                request_body=sample.maybe('{"order": 1}'),
                response_body=None if failed else '{"state": "sent"}',
                raw_response_body=None if failed else '{"state": "sent", "id": 1}',
                # The newest one is within the hour that the API gives unasked.
                created_at=sample.end - 600 - run * DAY,
            )


DATA_CONNECTORS = Resource(
    "data_connectors",
    "/data_connectors",
    ("data_connectors",),
    since=(2, 16),
    paging="cursor",
    sizes=(20, 50),
    newest_first="updated_at",
    times_in="iso",
    shape={
        "type": "data_connector",
        "id": "",
        "name": "",
        "description": None,
        "state": "draft",
        "http_method": "get",
        "direct_fin_usage": False,
        "created_by_admin_id": "7000001",
        "updated_by_admin_id": "7000001",
        "execution_results_url": "",
    },
    sample=_data_connectors,
)


DATA_CONNECTOR_EXECUTIONS = Resource(
    "data_connector_executions",
    "/data_connectors/{id}/execution_results",
    ("data_connectors",),
    since=(2, 16),
    paging="cursor",
    sizes=(10, 30),
    newest_first="created_at",
    filters=(
        TimeFilter("start_ts", "created_at", ">=", default_age=3600),
        TimeFilter("end_ts", "created_at", "<=", default_age=0),
    ),
    times=("created_at",),
    times_in="iso",
    on_request={"include_bodies": ("request_body", "response_body", "raw_response_body")},
    parent="data_connectors",
    parent_field="data_connector_id",
    missing="data_connector_not_found",
    shape={
        "type": "data_connector.execution",
        "id": "",
        "data_connector_id": "",
        "success": True,
        "http_status": 200,
        "http_method": "get",
        "error_type": None,
        "error_message": None,
        "execution_time_ms": None,
        "source_type": None,
        "source_id": None,
        "conversation_id": None,
        "request_url": None,
        "request_body": None,
        "response_body": None,
        "raw_response_body": None,
    },
)


RESOURCES = (
    DATA_CONNECTORS,
    DATA_CONNECTOR_EXECUTIONS,
)
