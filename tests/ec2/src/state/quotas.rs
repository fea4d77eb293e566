//! Service Quotas, as far as processors go; it speaks JSON.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    admission::{Caller, Verdict},
    cloud::{Cloud, Service, unknown},
    ssm::JsonAnswer,
};
use crate::error::ApiError;

/// The quota of an account that has no limit set by a test.
const PLENTY: u32 = 10_000;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Request {
    service_code: String,
    quota_code: String,
}

impl Cloud {
    /// Answers a call of Service Quotas.
    pub fn quotas(&mut self, action: &str, body: &[u8], caller: &Caller, now: Timestamp) -> JsonAnswer {
        let verdict = match self.admit(Service::ServiceQuotas, action, caller, now) {
            Ok(verdict) => verdict,
            Err(error) => return JsonAnswer { result: Err(error), verdict: Verdict::Answer },
        };
        JsonAnswer { result: self.service_quota(action, body, caller), verdict }
    }

    fn service_quota(&self, action: &str, body: &[u8], caller: &Caller) -> Result<Value, ApiError> {
        if !self.allowed(Service::ServiceQuotas, action, "", caller) {
            let text = format!("User is not authorized to perform: servicequotas:{action}");
            return Err(ApiError::new("AccessDeniedException", text));
        }
        if action != "GetServiceQuota" {
            return Err(unknown(action));
        }
        let request: Request = serde_json::from_slice(body).unwrap_or_default();
        let limit = match (request.service_code.as_str(), request.quota_code.as_str()) {
            ("ec2", "L-1216C47A") => self.settings.on_demand_vcpus,
            ("ec2", "L-34B43A08") => self.settings.spot_vcpus,
            _ => return Err(ApiError::new("NoSuchResourceException", "there is no such quota")),
        };
        Ok(json!({"Quota": {
            "ServiceCode": request.service_code,
            "QuotaCode": request.quota_code,
            "Value": f64::from(limit.unwrap_or(PLENTY)),
        }}))
    }
}
